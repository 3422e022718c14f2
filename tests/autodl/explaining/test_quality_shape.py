"""Sparseness and complexity: closed forms, and Quantus's numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.explaining._quality_game import Game, game_of
from autodl.explaining._quality_shape import shape
from autodl.records import InputSpec

VALUES = [
    [0.959836162, 0.138071873, -0.11369087, 0.200531238, 0.017374314, 0.039347649],
    [0.203456766, -0.455975602, -0.143073496, -0.169845237, 0.182093846, 0.045214467],
    [-0.41956614, -0.022310379, 0.392978453, 0.303306831, 0.002981746, -0.002874244],
]


def game(values: Tensor) -> Game:
    rows, players = values.shape
    question = Question(
        model=lambda given: given["x"],
        inputs={"x": torch.ones(rows, players)},
        target=0,
        specs={"x": InputSpec((players,), ("x",), torch.zeros(players).long(), torch.zeros(players))},
        players=Players(tuple(map(str, range(players))), {"x": torch.arange(players)}),
        background={"x": torch.zeros(1, players)},
        baseline={"x": torch.zeros(1, players)},
    )
    return game_of(question, Attribution(values=values, base=torch.zeros(rows)))


def test_both_are_quantus() -> None:
    """Quantus 0.6.0's Sparseness and Complexity (abs=True, normalise=False) gave these for the values above."""
    found = shape(game(torch.tensor(VALUES)), torch.Generator())
    assert found["sparseness"].rows.tolist() == pytest.approx([0.592326353, 0.312200132, 0.514916846], abs=1e-6)
    assert found["complexity"].rows.tolist() == pytest.approx([1.119645509, 1.608694116, 1.194230201], abs=1e-6)


@pytest.mark.parametrize("players", [2, 12])
def test_one_player_and_all_players_are_the_ends(players: int) -> None:
    one = torch.zeros(2, players)
    one[0, 0], one[1, -1] = -3, 1e-9
    found = shape(game(one), torch.Generator())
    assert found["sparseness"].rows.tolist() == pytest.approx([1 - 1 / players] * 2)
    assert found["complexity"].rows.tolist() == pytest.approx([0, 0], abs=1e-12)
    for alike in (torch.full((1, players), -0.7), torch.zeros(1, players)):
        found = shape(game(alike), torch.Generator())
        assert found["sparseness"].rows.tolist() == pytest.approx([0], abs=1e-12)
        assert found["complexity"].rows.tolist() == pytest.approx([math.log(players)])


def test_absent_players_do_not_count() -> None:
    values = torch.tensor(VALUES)
    more = game(torch.cat([values, torch.full((3, 4), 9.0)], dim=1))
    more = replace(more, present=torch.arange(10).expand(3, 10) < 6)
    expected = shape(game(values), torch.Generator())
    found = shape(more, torch.Generator())
    for name in expected:
        assert found[name].rows.tolist() == pytest.approx(expected[name].rows.tolist())


def test_random_values_are_in_between() -> None:
    found = shape(game(torch.ones(50, 8)), torch.Generator().manual_seed(0))
    assert 0.3 < float(found["sparseness"].random.mean()) < 0.5
    assert 1.5 < float(found["complexity"].random.mean()) < math.log(8)
