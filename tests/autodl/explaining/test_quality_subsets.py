"""Sums of values against drops: closed forms, and Quantus's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.explaining._quality_game import Game, game_of
from autodl.explaining._quality_subsets import (
    MOST_STEPS,
    agreement_of,
    drops_of,
    faithfulness_correlation,
    faithfulness_estimate,
    infidelity,
    squared_miss,
    subsets,
)
from autodl.records import InputSpec

# Rows of attributions, and what Quantus 0.6.0 returned for them; see the tests.
VALUES = [
    [0.959836162, 0.138071873, -0.11369087, 0.200531238, 0.017374314, 0.039347649],
    [0.203456766, -0.455975602, -0.143073496, -0.169845237, 0.182093846, 0.045214467],
    [-0.41956614, -0.022310379, 0.392978453, 0.303306831, 0.002981746, -0.002874244],
]
SUBSETS_OF_ROW_0 = [[5, 2, 1], [5, 2, 3], [0, 1, 2], [1, 3, 0], [5, 2, 3], [1, 5, 0], [4, 5, 3], [5, 1, 4]]
SUBSETS_OF_ROW_1 = [[1, 3, 4], [2, 4, 3], [5, 2, 3], [3, 2, 1], [0, 1, 4], [1, 2, 0], [2, 4, 1], [4, 2, 5]]
SUBSETS_OF_ROW_2 = [[3, 5, 1], [3, 1, 4], [3, 1, 4], [0, 5, 3], [2, 4, 5], [3, 1, 5], [4, 3, 5], [0, 1, 4]]


def ask(x: Tensor, model: Callable[[Tensor], Tensor], values: Tensor, base: float = 0.0, target: int = 0) -> Game:
    shape = tuple(x.shape[1:])
    index = torch.arange(x[0].numel()).view(shape)
    question = Question(
        model=lambda given: model(given["x"]),
        inputs={"x": x},
        target=0,
        specs={"x": InputSpec(shape, ("x",), torch.zeros(shape).long(), torch.zeros(shape))},
        players=Players(tuple(map(str, range(x[0].numel()))), {"x": index}),
        background={"x": x},
        baseline={"x": torch.full((1, *shape), base, dtype=x.dtype)},
    )
    return game_of(question, Attribution(values=values, base=torch.zeros(len(x)), target=target))


def tanh_network(x: Tensor) -> Tensor:
    first = torch.tensor([[((3 * i + 5 * j) % 7 - 3) / 4 for i in range(6)] for j in range(5)]).double()
    second = torch.tensor([[1.0, -0.5, 0.75, 0.25, -1.0], [-0.5, 1.0, -0.25, 0.5, 0.75]]).double()
    return torch.tanh(x @ first.T) @ second.T


def three_rows() -> Tensor:
    rows = [[((2 * r + 3 * i) % 5 - 2) / 2 + 0.1 * i + 0.05 * r for i in range(6)] for r in range(3)]
    return torch.tensor(rows, dtype=torch.float64)


def linear(rows: int = 5, players: int = 7) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Rows, their exact contributions, and the model."""
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(rows, players, generator=generator), torch.randn(players, generator=generator)
    return x, x * weights, lambda x: (x @ weights)[:, None] + 3


def test_faithfulness_estimate_is_quantus() -> None:
    """Quantus 0.6.0's FaithfulnessEstimate gave these for the network and rows above, x of shape (3, 1, 6), y = 0.

    ``FaithfulnessEstimate(features_in_step=1, perturb_baseline=0.25, abs=False, normalise=False)``, softmax=False; the
    attribution is the gradient of output 0 × (x - 0.25). In groups of two neighbours it gave the second numbers.
    """
    game = ask(three_rows(), tanh_network, torch.tensor(VALUES), base=0.25)
    found = faithfulness_estimate(game, torch.Generator())["faithfulness_estimate"]
    assert found.rows.tolist() == pytest.approx([0.99092239, 0.986035619, 0.969854282], abs=1e-8)
    order = game.ranks(game.values, torch.Generator())
    away = order[:, None].div(2, rounding_mode="floor") == torch.arange(3)[:, None]
    pairs = agreement_of(game, away, drops_of(game, away))
    assert pairs.tolist() == pytest.approx([0.99723463, 0.993188357, 0.986566496], abs=1e-8)


def test_faithfulness_correlation_is_quantus() -> None:
    """Quantus 0.6.0's FaithfulnessCorrelation gave these with the subsets above, which its draws were.

    ``FaithfulnessCorrelation(nr_runs=8, subset_size=3, perturb_baseline=0.25, abs=False, normalise=False,
    return_aggregate=False)``, softmax=False, on the same rows.
    """
    game = ask(three_rows(), tanh_network, torch.tensor(VALUES), base=0.25)
    chosen = torch.tensor([SUBSETS_OF_ROW_0, SUBSETS_OF_ROW_1, SUBSETS_OF_ROW_2])
    away = torch.zeros(3, 8, 6, dtype=torch.bool).scatter_(2, chosen, True)
    found = agreement_of(game, away, drops_of(game, away))
    assert found.tolist() == pytest.approx([0.978818603, 0.916088283, 0.895450147], abs=1e-8)


def test_infidelity_is_quantus() -> None:
    """Quantus 0.6.0's Infidelity gave these; it takes blocks away one after the other, and none comes back.

    ``Infidelity(perturb_patch_sizes=[4], n_perturb_samples=1, perturb_baseline=0.25, abs=False, normalise=False)``,
    softmax=False, on the images and the network below, each row's own class; its attribution is the gradient, which it
    multiplies by x - 0.25: contributions are that product.
    """
    at = [(i, j) for i in range(8) for j in range(8)]
    pixels = [[math.sin(0.7 * i + 1.3 * j + r) + 0.1 * r for i, j in at] for r in range(4)]
    patterns = [[math.cos(0.5 * i * (k + 1) - 0.9 * j + k) for i, j in at] for k in range(3)]
    x, v = torch.tensor(pixels, dtype=torch.float64), torch.tensor(patterns, dtype=torch.float64)

    def model(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ v.T / 4) + 0.3 * torch.sin(x.flatten(1) @ v.T)

    x = x.view(4, 1, 8, 8).requires_grad_()
    own = model(x).max(1)
    assert own.indices.tolist() == [0, 1, 2, 2]
    (slope,) = torch.autograd.grad(own.values.sum(), x)
    values = (slope * (x - 0.25)).flatten(1).detach()
    block = torch.tensor([(i // 4) * 2 + j // 4 for i, j in at])
    away = (block <= torch.arange(4)[:, None]).expand(4, 4, 64)
    found = []
    for row, target in enumerate(own.indices.tolist()):
        game = ask(x.detach(), model, values, base=0.25, target=target).at(slice(row, row + 1))
        found += squared_miss(game.values, away[:1], drops_of(game, away[:1])).tolist()
    assert found == pytest.approx([0.037664437, 0.005857963, 0.430006266, 0.187494039], abs=1e-8)


def test_exact_values_of_a_linear_model_are_perfect() -> None:
    x, values, model = linear()
    game, generator = ask(x, model, values), torch.Generator().manual_seed(0)
    missed = infidelity(game, generator)
    assert missed["infidelity"].rows.tolist() == pytest.approx([0.0] * 5, abs=1e-10)
    assert missed["infidelity_scaled"].rows.tolist() == pytest.approx([0.0] * 5, abs=1e-10)
    for measure in (faithfulness_correlation, faithfulness_estimate):
        (found,) = measure(game, generator).values()
        assert found.rows.tolist() == pytest.approx([1.0] * 5, rel=1e-6)
        assert float(found.random.mean()) < 0.5


def test_infidelity_asks_for_size_and_its_scaled_form_does_not() -> None:
    x, values, model = linear()
    found = infidelity(ask(x, model, 1000 * values), torch.Generator().manual_seed(0))
    assert bool((found["infidelity"].rows > 1).all())
    assert found["infidelity_scaled"].rows.tolist() == pytest.approx([0.0] * 5, abs=1e-10)
    turned = infidelity(ask(x, model, -values), torch.Generator().manual_seed(0))
    assert turned["infidelity_scaled"].rows.tolist() == pytest.approx([1.0] * 5)


def test_saying_nothing_gets_what_it_should() -> None:
    x, values, model = linear()
    game, generator = ask(x, model, torch.zeros_like(values)), torch.Generator().manual_seed(0)
    missed = infidelity(game, generator)
    assert missed["infidelity_scaled"].rows.tolist() == [1] * 5
    assert missed["infidelity"].rows.tolist() == pytest.approx(missed["infidelity"].random.tolist())
    assert faithfulness_estimate(game, generator)["faithfulness_estimate"].rows.tolist() == [0] * 5


def test_rows_that_nothing_moves_are_left_out() -> None:
    x, values, _ = linear()
    game, generator = ask(x, lambda x: torch.ones(len(x), 1), values), torch.Generator().manual_seed(0)
    for measure in (faithfulness_correlation, faithfulness_estimate):
        (found,) = measure(game, generator).values()
        assert bool(found.rows.isnan().all())
    assert bool(infidelity(game, generator)["infidelity_scaled"].rows.isnan().all())


def test_subsets_have_their_size_and_nobody_who_is_absent() -> None:
    x, values, model = linear()
    game = ask(x, model, values)
    present = game.present.clone()
    present[1, 2:5] = False
    game = replace(game, present=present)
    size = torch.arange(8).expand(5, 8)
    away = subsets(game, size, torch.Generator().manual_seed(0))
    assert away.shape == (5, 8, 7)
    assert away[1].sum(1).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert not bool(away[1, :, 2:5].any())
    assert away[0].sum(1).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_many_players_are_taken_away_in_groups() -> None:
    x, values, model = linear(rows=3, players=3 * MOST_STEPS - 10)
    asked = []

    def counted(x: Tensor) -> Tensor:
        asked.append(len(x))
        return model(x)

    found = faithfulness_estimate(ask(x, counted, values), torch.Generator())["faithfulness_estimate"]
    assert found.rows.tolist() == pytest.approx([1.0] * 3, rel=1e-5)
    assert sum(asked) <= 3 * (2 + 9 * MOST_STEPS)
