"""Curves and gaps, against closed forms and against Quantus's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.explaining._quality_game import Game, game_of
from autodl.explaining._quality_order import STEPS, along, deletion_and_insertion, prediction_gaps
from autodl.records import InputSpec

# What Quantus 0.6.0's PixelFlipping returned; see ``test_pixel_flipping_is_quantus``.
VALUES = [
    [0.959836162, 0.138071873, -0.11369087, 0.200531238, 0.017374314, 0.039347649],
    [0.203456766, -0.455975602, -0.143073496, -0.169845237, 0.182093846, 0.045214467],
    [-0.41956614, -0.022310379, 0.392978453, 0.303306831, 0.002981746, -0.002874244],
]
CURVES = [
    [1.126201194, 0.459936243, 0.121419606, 0.169290129, 0.168944414, 0.014283529],
    [-1.057027385, -1.336745636, -1.339352298, -1.374262141, -1.121015625, 0.014283529],
    [-0.332290974, -0.748374072, -0.827097023, -1.427776855, -1.379807839, 0.014283529],
]


def ask(x: Tensor, model: object, values: Tensor, base: float = 0.0) -> Game:
    players = x.shape[1]
    spec = InputSpec((players,), ("x",), torch.zeros(players).long(), torch.zeros(players))
    index = {"x": torch.arange(players)}
    question = Question(
        model=lambda given: model(given["x"]),  # type: ignore[operator]
        inputs={"x": x},
        target=0,
        specs={"x": spec},
        players=Players(tuple(map(str, range(players))), index),
        background={"x": x.flip(0)},
        baseline={"x": torch.full((1, players), base, dtype=x.dtype)},
    )
    return game_of(question, Attribution(values=values, base=torch.zeros(len(x))))


def tanh_network(x: Tensor) -> Tensor:
    first = torch.tensor([[((3 * i + 5 * j) % 7 - 3) / 4 for i in range(6)] for j in range(5)]).double()
    second = torch.tensor([[1.0, -0.5, 0.75, 0.25, -1.0], [-0.5, 1.0, -0.25, 0.5, 0.75]]).double()
    return torch.tanh(x @ first.T) @ second.T


def three_rows() -> Tensor:
    rows = [[((2 * r + 3 * i) % 5 - 2) / 2 + 0.1 * i + 0.05 * r for i in range(6)] for r in range(3)]
    return torch.tensor(rows, dtype=torch.float64)


def test_pixel_flipping_is_quantus() -> None:
    """Quantus 0.6.0's PixelFlipping gave these curves for the network and rows above.

    Recipe: numpy 2.4.6, torch 2.13; x of shape (3, 1, 6), a = gradient of output 0 × (x - 0.25) as attribution, y = 0;
    ``PixelFlipping(features_in_step=1, perturb_baseline=0.25, abs=False, normalise=False)``, called with
    ``softmax=False``. It orders by value from the highest down whatever the direction of the effect, and leaves out the
    untouched row.
    """
    found = ask(three_rows(), tanh_network, torch.tensor(VALUES), base=0.25)
    order = found.ranks(found.values, torch.Generator())
    outputs = along(found, order, 6)
    for row in range(3):
        assert outputs[row, 1:].tolist() == pytest.approx(CURVES[row], abs=1e-8)
    assert outputs[:, 0].tolist() == pytest.approx(tanh_network(three_rows())[:, 0].tolist())


def test_the_area_of_a_linear_model_is_known() -> None:
    """f = 3 x0 + x1 less a baseline of 0 at x = 1: left are 1, 1/4, 0, or, backwards, 1, 3/4, 0; likewise negated."""
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    values = torch.tensor([[3.0, 1.0], [-3.0, -1.0]])
    found = deletion_and_insertion(
        ask(x, lambda x: x @ torch.tensor([[3.0], [1.0]]), values), torch.Generator().manual_seed(0)
    )
    assert found["deletion"].rows.tolist() == pytest.approx([0.375, 0.375])
    assert found["insertion"].rows.tolist() == pytest.approx([0.625, 0.625])
    curve = found["deletion"].curve
    assert curve["share"].tolist() == [0, 0.5, 1]
    assert curve["explanation"].tolist() == pytest.approx([1, 0.25, 0])
    assert curve["outputs"].tolist() == [[4, 1, 0], [-4, -1, 0]]
    assert 0.375 < float(found["deletion"].random.mean()) < 0.625


def test_a_random_order_read_backwards_is_a_random_order() -> None:
    """Deletion and insertion share their random curves: the areas sum to what the two curves of one order do."""
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) + 0.5
    weights = torch.arange(1.0, 6)
    found = deletion_and_insertion(ask(x, lambda x: (x * weights).sum(1, keepdim=True), x * weights), torch.Generator())
    assert found["deletion"].random.tolist() == pytest.approx(found["insertion"].random.tolist())
    assert bool((found["deletion"].rows < found["deletion"].random).all())
    assert bool((found["insertion"].rows > found["insertion"].random).all())


def test_curves_have_no_more_steps_than_are_drawn() -> None:
    x = torch.rand(2, 90, generator=torch.Generator().manual_seed(1))
    found = deletion_and_insertion(ask(x, lambda x: x.sum(1, keepdim=True), x), torch.Generator())
    assert len(found["deletion"].curve["share"]) == STEPS + 1
    assert found["deletion"].curve["explanation"][[0, -1]].tolist() == pytest.approx([1, 0], abs=1e-6)


def test_one_player_alone_cannot_be_ordered() -> None:
    found = deletion_and_insertion(ask(torch.ones(2, 1), lambda x: x, torch.ones(2, 1)), torch.Generator())
    assert bool(found["deletion"].rows.isnan().all())


def test_gaps_of_a_model_of_one_player() -> None:
    """f = x0: the gap on the important player is the mean distance to background rows, that on the others is 0."""
    x = torch.tensor([[0.0, 5, 5, 5], [1.0, 5, 5, 5]])
    values = torch.tensor([[-1.0, 0, 0, 0.5], [1.0, 0, 0, 0.5]])
    found = prediction_gaps(ask(x, lambda x: x[:, :1], values), torch.Generator().manual_seed(0))
    assert found["pgu"].rows.tolist() == [0, 0]
    assert 0.1 < float(found["pgi"].rows.mean()) < 0.9
    assert found["pgi"].rows.mean() > found["pgi"].random.mean()
    assert found["pgu"].rows.mean() < found["pgu"].random.mean()


def test_gaps_need_background_rows() -> None:
    game = ask(torch.ones(2, 4), lambda x: x, torch.ones(2, 4))
    game.question.background["x"] = torch.zeros(0, 4)  # type: ignore[index]
    assert prediction_gaps(game, torch.Generator()) == {}
