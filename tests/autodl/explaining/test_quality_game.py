"""Taking players away: who is there, what they are replaced by, and that memory changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.errors import ExplanationError
from autodl.explaining._quality_game import Game, game_of, shuffled
from autodl.records import InputSpec


def spec(*shape: int) -> InputSpec:
    return InputSpec(shape, ("x",), torch.zeros(shape, dtype=torch.int64), torch.zeros(shape))


def question(
    inputs: Mapping[str, Tensor], index: Mapping[str, Tensor], model: Callable[[dict[str, Tensor]], Tensor], **more: Any
) -> Question:
    players = Players(tuple("abcdefghijkl"[: 1 + max(int(each.max()) for each in index.values())]), index)
    return Question(
        model=model,
        inputs=inputs,
        target=0,
        specs={name: spec(*x.shape[1:]) for name, x in inputs.items()},
        players=players,
        background={name: torch.stack([torch.full(x.shape[1:], v) for v in (7.0, 9.0)]) for name, x in inputs.items()},
        baseline={name: torch.full((1, *x.shape[1:]), 0.5) for name, x in inputs.items()},
        **more,
    )


def two_inputs(**more: Any) -> Question:
    """A table of three entries, of which two are one player, and a signal of two, missing in the second row."""
    inputs = {"table": torch.tensor([[1.0, 2, 3], [4, 5, 6]]), "signal": torch.tensor([[10.0, 20], [torch.nan] * 2])}

    def model(given: dict[str, Tensor]) -> Tensor:
        seen = torch.cat([given["table"], given["signal"].nan_to_num(nan=-100.0)], dim=1)
        return (seen * torch.tensor([1.0, 10, 100, 1000, 10000])).sum(1, keepdim=True)

    return question(inputs, {"table": torch.tensor([0, 0, 1]), "signal": torch.tensor([2, 3])}, model, **more)


def game(asked: Question) -> Game:
    return game_of(asked, Attribution(values=torch.arange(8.0).view(2, 4), base=torch.zeros(2)))


def test_players_that_are_away_take_the_baseline_and_what_is_missing_stays_missing() -> None:
    found = game(two_inputs())
    keep = torch.tensor([[[True, False, True, True], [False, True, False, True]]] * 2)
    assert found.outputs(keep).tolist() == [
        pytest.approx([21 + 50 + 10_000 + 200_000, 5.5 + 300 + 500 + 200_000]),
        pytest.approx([54 + 50 - 1_100_000, 5.5 + 600 - 1_100_000]),
    ]
    assert found.present.tolist() == [[True] * 4, [True, True, False, False]]
    assert found.values[1].tolist() == [4, 5, 0, 0]


def test_players_that_are_away_can_take_a_background_rows_entries() -> None:
    found = game(two_inputs())
    keep = torch.ones(2, 2, 4, dtype=torch.bool)
    keep[:, :, 1] = False
    outputs = found.outputs(keep, torch.tensor([[0, 1], [1, 1]]))
    assert outputs[0].tolist() == pytest.approx([210_021 + 700, 210_021 + 900])


@pytest.mark.parametrize("memory", [1, 200, 2**20])
def test_memory_changes_nothing(memory: int) -> None:
    found = game(two_inputs(memory=memory))
    keep = torch.rand(2, 9, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    assert found.outputs(keep).tolist() == game(two_inputs()).outputs(keep).tolist()
    assert sum(len(part) for part in found.parts(64)) == 2
    assert torch.cat([part.whole for part in found.parts(64)]).tolist() == game(two_inputs()).whole.tolist()


def test_batches_are_as_small_as_the_memory_asks() -> None:
    sizes = []
    asked = two_inputs(memory=4 * 20 * 3)  # three rows of five float32 numbers, four times

    def model(given: dict[str, Tensor]) -> Tensor:
        sizes.append(len(given["table"]))
        return given["table"]

    game(replace(asked, model=model)).outputs(torch.ones(2, 5, 4, dtype=torch.bool))
    assert sizes == [3, 3, 3, 1]


def test_rows_can_have_a_division_of_their_own() -> None:
    asked = two_inputs()
    index = {"table": torch.tensor([[0, 0, 1], [1, 0, 0]]), "signal": torch.tensor([[2, 2], [2, 2]])}
    asked = replace(asked, players=Players(("a", "b", "c", "nobody"), index, own=True))
    found = game(asked)
    assert found.present.tolist() == [[True, True, True, False], [True, True, False, False]]
    keep = torch.tensor([False, True, True, True]).expand(2, 1, 4)
    assert found.outputs(keep)[:, 0].tolist() == pytest.approx([5.5 + 300 + 210_000, 4 + 55 - 1_100_000])


def test_values_are_dealt_out_among_those_present() -> None:
    values, present = torch.arange(12.0).view(2, 6), torch.tensor([[True] * 6, [True, False, True, False, True, True]])
    generator = torch.Generator().manual_seed(0)
    seen = [shuffled(values, present, generator) for _ in range(200)]
    for each in seen:
        assert sorted(each[0].tolist()) == values[0].tolist()
        assert sorted(each[1][present[1]].tolist()) == values[1][present[1]].tolist()
    mean = torch.stack(seen).mean(0)[0]
    assert float((mean - 2.5).abs().max()) < 0.5  # everybody gets everything


def test_ranks_go_down_ties_by_chance_and_absent_ones_last() -> None:
    found = game(two_inputs())
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([[1.0, 1, 5, 1], [-2, -1, 0, 0]]).double()
    seen = torch.stack([found.ranks(values, generator) for _ in range(100)])
    assert set(seen[:, 0, 2].tolist()) == {0}
    assert set(seen[:, 0, 0].tolist()) == {1, 2, 3}
    assert bool((seen[:, 1, :2] == torch.tensor([1, 0])).all())


def test_an_image_that_is_one_player_is_measured_by_patches_where_its_pixels_have_values() -> None:
    """Views of one image share their patches, whatever their size; other players stay."""
    inputs = {"big": torch.rand(2, 3, 8, 6), "small": torch.rand(2, 1, 4, 3), "table": torch.rand(2, 2)}
    index = {"big": torch.zeros(3, 8, 6), "small": torch.zeros(1, 4, 3), "table": torch.ones(2)}
    asked = question(inputs, {k: v.long() for k, v in index.items()}, lambda x: x["table"])
    entries = {name: torch.rand_like(x) for name, x in inputs.items()}
    values = asked.players.pooled(entries)
    found = game_of(asked, Attribution(values=values, base=torch.zeros(2), entries=entries))
    assert found.values.shape == (2, 2 + 4 * 3)
    assert found.present[0].tolist() == [False, True] + [True] * 12
    assert found.values.sum(1).tolist() == pytest.approx(values.sum(1).tolist(), rel=1e-5)
    first = entries["big"][:, :, :2, :2].sum((1, 2, 3)) + entries["small"][:, :, 0, 0].sum(1)
    assert found.values[:, 2].tolist() == pytest.approx(first.tolist(), rel=1e-5)
    without = game_of(asked, Attribution(values=values, base=torch.zeros(2)))
    assert without.values.shape == (2, 2)


def test_an_answer_for_all_rows_together_is_measured_on_each() -> None:
    found = game_of(two_inputs(), Attribution(values=torch.tensor([[1.0, 2, 3, 4]]), base=torch.tensor(0.0)))
    assert found.values.tolist() == [[1, 2, 3, 4], [1, 2, 0, 0]]


def test_a_method_that_says_nothing_of_players_is_refused() -> None:
    with pytest.raises(ExplanationError, match="must give players values"):
        game_of(two_inputs(), Attribution(values=torch.zeros(2, 0), base=torch.zeros(2)))


def test_a_constant_model_has_no_scale() -> None:
    found = game(replace(two_inputs(), model=lambda given: torch.ones(len(given["table"]), 1)))
    assert bool(found.scale.isnan())
    assert bool(found.left(found.whole).isnan().all())
