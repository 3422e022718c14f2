from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autodl.attribution import Labelled, Players, Question
from autodl_explainers.permutation_importance import PermutationImportance

WEIGHTS = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)


def linear(inputs: dict[str, Tensor]) -> Tensor:
    return (inputs["table"] @ WEIGHTS).unsqueeze(1)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] - targets) ** 2


def question(rows: int, draw: int = 0, noise: float = 0.0, **changes: Any) -> Question:
    generator = torch.Generator().manual_seed(draw)
    x = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    y = x @ WEIGHTS + noise * torch.randn(rows, generator=generator, dtype=torch.float64)
    asked = Question(
        model=linear,
        inputs={"table": x[:2]},
        target=0,
        specs={},
        players=Players(("a", "b", "c"), {"table": torch.arange(3)}),
        background={"table": x},
        baseline={"table": x[:1]},
        labelled=Labelled({"table": x}, y, squared),
    )
    return dataclasses.replace(asked, **changes)


def test_two_rows_are_swapped_and_the_rise_is_the_closed_form() -> None:
    asked = question(2)
    x = asked.background["table"]
    found = PermutationImportance(repeats=3).attribute(asked)
    torch.testing.assert_close(found.values[0], WEIGHTS**2 * (x[0] - x[1]) ** 2)
    assert found.values.shape == found.standard_error.shape == (1, 3)
    assert found.evaluations == 2 + 3 * 2 * 3


def test_many_shuffles_come_near_the_mean_over_all_pairs() -> None:
    """That of a linear model under squared error is 2 w² times the column's variance."""
    asked = question(60, noise=0.5)
    labelled = asked.labelled
    assert labelled is not None
    x, y = labelled.inputs["table"], labelled.targets
    exact = []
    for player in range(3):
        pairs = x.unsqueeze(0).repeat(60, 1, 1)  # donor, row
        pairs[:, :, player] = x[:, player].unsqueeze(1)
        loss = (pairs @ WEIGHTS - y) ** 2
        rise = loss - (x @ WEIGHTS - y) ** 2
        exact.append(rise.sum() / (60 * 59))
    found = PermutationImportance(repeats=2000).attribute(asked).values[0]
    torch.testing.assert_close(found, torch.stack(exact), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_standard_error_is_the_spread_over_fresh_rows_and_shuffles(repeats: int) -> None:
    found = [
        PermutationImportance(repeats=repeats).attribute(question(40, seed, noise=1.0, seed=seed))
        for seed in range(400)
    ]
    spread = torch.cat([each.values for each in found]).std(0)
    told = torch.cat([each.standard_error for each in found]).square().mean(0).sqrt()  # type: ignore[misc]
    torch.testing.assert_close(told[:2], spread[:2], rtol=0.15, atol=0)
    assert spread[2] == told[2] == 0


@given(st.integers(2, 12), st.integers(0, 1000), st.integers(1, 3000))
def test_memory_changes_nothing_and_a_seed_is_a_result(rows: int, seed: int, memory: int) -> None:
    before = torch.get_rng_state()
    one = PermutationImportance().attribute(question(rows, seed=seed))
    other = PermutationImportance().attribute(dataclasses.replace(question(rows, seed=seed), memory=memory))
    torch.testing.assert_close(one.values, other.values)
    torch.testing.assert_close(one.standard_error, other.standard_error)
    assert torch.equal(before, torch.get_rng_state())
    assert one.values[0, 2] == 0  # a column that the model does not look at


def test_all_outputs_get_the_same_answer_and_are_told_so() -> None:
    one, other = PermutationImportance().attribute_all(question(10), [0, 1])
    assert one is other
    assert "same for each" in one.notes[0]


def test_more_rows_than_wanted_are_drawn_by_chance() -> None:
    found = PermutationImportance(rows=7).attribute(question(50))
    kept = found.found["rows"]
    assert len(set(kept.tolist())) == 7
    assert kept.tolist() != list(range(7))
    assert found.evaluations == 7 + 5 * 7 * 3


def test_time_that_is_up_ends_after_a_whole_shuffle() -> None:
    found = PermutationImportance(repeats=1000).attribute(question(10, seconds=0.0))
    assert found.evaluations == 10 + 10 * 3
    assert "1 shuffles" in found.notes[0]


def test_what_cannot_be_shuffled_is_refused_with_a_reason() -> None:
    explainer = PermutationImportance()
    assert explainer.objection(question(2)) is None
    assert "at least 2 labelled rows" in str(explainer.objection(question(1)))
    own = Players(("a",), {"table": torch.zeros(2, 3, dtype=torch.long)}, own=True)
    assert "segments" in str(explainer.objection(question(5, players=own)))
    asked = question(5)
    assert asked.labelled is not None
    asked.labelled.inputs["table"][3] = torch.nan
    assert "missing in 1 of 5 labelled rows" in str(explainer.objection(asked))
    whole = Players(("table",), {"table": torch.zeros(3, dtype=torch.long)})
    assert explainer.objection(dataclasses.replace(asked, players=whole)) is None


def test_a_missing_input_is_shuffled_as_a_whole() -> None:
    """The row that takes from a row without the input loses its own."""
    asked = question(3, players=Players(("table",), {"table": torch.zeros(3, dtype=torch.long)}))
    assert asked.labelled is not None
    x = asked.labelled.inputs["table"]
    x[1] = torch.nan

    def model(inputs: dict[str, Tensor]) -> Tensor:
        return inputs["table"][:, :1].isnan().double()

    targets = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    asked = dataclasses.replace(asked, model=model, labelled=dataclasses.replace(asked.labelled, targets=targets))
    found = PermutationImportance(repeats=2).attribute(asked)
    assert found.found["loss"] == 0
    torch.testing.assert_close(found.values, torch.tensor([[2 / 3]], dtype=torch.float64))
