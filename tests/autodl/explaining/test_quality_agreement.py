"""Agreement between methods and between seeds, counted by hand."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from autodl.attribution import Attribution
from autodl.errors import ExplanationError
from autodl.explaining.quality import agreement, stability


def told(*values: list[float]) -> Attribution:
    return Attribution(values=torch.tensor(values), base=torch.zeros(len(values)))


def test_a_case_counted_by_hand() -> None:
    one = told([5.0, -4, 3, 2, 1, 0.5], [1, 2, 3, 4, 5, 6])
    two = told([5.0, 4, 0.1, 3, 2, 1], [-1, -2, -3, -4, -5, -6])
    found = agreement({"one": one, "two": two}, count=3)
    assert found.top.loc["one", "two"] == pytest.approx((2 / 3 + 1) / 2)
    assert found.sign.loc["one", "two"] == pytest.approx((1 / 3 + 0) / 2)
    pairs = zip(one.values.abs(), two.values.abs(), strict=True)
    ranks = [stats.spearmanr(a, b)[0] for a, b in pairs]
    assert found.rank_correlation.loc["two", "one"] == pytest.approx(sum(ranks) / 2)
    assert dict(found.random) == {"rank_correlation": 0, "top": 0.5, "sign": 0.25}
    for table in (found.rank_correlation, found.top, found.sign):
        assert list(table.index) == list(table.columns) == ["one", "two"]
        assert [table.loc[name, name] for name in table.index] == pytest.approx([1, 1])


def test_random_values_agree_as_much_as_is_said() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = {name: told(*torch.randn(2000, 8, generator=generator).tolist()) for name in "ab"}
    found = agreement(draws, count=3)
    for name, expected in found.random.items():
        assert getattr(found, name).loc["a", "b"] == pytest.approx(expected, abs=0.02)


def test_players_to_whom_nobody_gives_anything_are_left_out() -> None:
    one, two = told([3.0, 2, 1]), told([1.0, 2, 3])
    more = {name: told([*each.values[0].tolist(), 0, 0, 0]) for name, each in (("one", one), ("two", two))}
    assert agreement(more).rank_correlation.loc["one", "two"] == pytest.approx(-1)


def test_a_method_for_all_rows_together_is_compared_with_each_row() -> None:
    found = agreement({"all": told([3.0, 2, 1]), "each": told([3.0, 2, 1], [1.0, 2, 3])})
    assert found.rank_correlation.loc["all", "each"] == pytest.approx(0)


@pytest.mark.parametrize("other", [[1.0, 2], []])
def test_only_the_same_players_are_compared(other: list[float]) -> None:
    with pytest.raises(ExplanationError, match="same rows and players"):
        agreement({"one": told([1.0, 2, 3]), "two": told(other)})


def test_the_same_answer_each_time_is_stable_and_noise_is_not() -> None:
    def noise(seed: int) -> Tensor:
        return torch.randn(50, 10, generator=torch.Generator().manual_seed(seed))

    same = stability(lambda seed: noise(0), range(3))
    assert same.value == pytest.approx(1)
    assert same.curve is not None
    assert same.curve["deviation"].abs().max() == 0
    assert same.random == pytest.approx(0, abs=0.1)
    drawn = stability(noise, range(4))
    assert drawn.value == pytest.approx(drawn.random, abs=0.1)


def test_stability_needs_two_seeds() -> None:
    with pytest.raises(ExplanationError, match="at least two different"):
        stability(lambda seed: torch.ones(1, 2), [3, 3])
