from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from autodl_explainers._shapley_coalitions import draw_coalitions, every_coalition, exact_interactions, exact_values
from autodl_explainers._shapley_process import EVEN, ODD, Posterior, Process, elementary, importance, learn

PLAYERS = 7
WEIGHTS = torch.tensor([0.2, 0.5, 0.7, 1.0, 1.2, 1.4, 2.0], dtype=torch.float64)


def products(signs: Tensor, order: int) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Every product of ``order`` players, written out. Shape: n players → n terms."""
    chosen = list(combinations(range(signs.shape[1]), order))
    return torch.stack([signs[:, list(each)].prod(1) for each in chosen], 1), chosen


def textbook_covariance(process: Process, signs: Tensor) -> Tensor:
    found = torch.zeros(len(signs), len(signs), dtype=torch.float64)
    for order, scale in zip(process.orders, process.scales(), strict=False):
        terms, chosen = products(signs, order)
        weights = torch.stack([process.weights[list(each)].prod() for each in chosen])
        found += scale * (terms * weights) @ terms.T
    return found


def all_signs() -> Tensor:
    return 2.0 * every_coalition(PLAYERS).flip(0).double() - 1


@pytest.mark.parametrize("orders", [ODD, EVEN])
def test_the_covariance_is_the_sum_over_all_terms(orders: tuple[int, ...]) -> None:
    process, signs = Process(WEIGHTS, orders), all_signs()[:100]
    noise = torch.full((100,), process.scales()[-1], dtype=torch.float64)
    noise[0] = 1e-9
    torch.testing.assert_close(process.covariance(signs), textbook_covariance(process, signs) + noise.diag())
    torch.testing.assert_close(process.mixed(process.terms(signs, signs)), process.covariance(signs))


def test_covariances_with_values_and_interactions_are_those_of_the_exact_formulas() -> None:
    """Values and interactions are linear in worths: apply the exact formulas to the covariance's columns."""
    signs = all_signs()
    odd, even = Process(WEIGHTS, ODD), Process(WEIGHTS, EVEN)
    binary = torch.arange(2**PLAYERS).flip(0)  # exact formulas take coalitions in binary order
    expected = exact_values(textbook_covariance(odd, signs)[binary])
    torch.testing.assert_close(odd.with_values(signs), expected)
    torch.testing.assert_close(odd.variances(), exact_values(expected[binary]).diagonal())
    pairs = exact_interactions(textbook_covariance(even, signs)[binary])
    found = even.with_interactions(signs).masked_fill(torch.eye(PLAYERS, dtype=torch.bool), 0.0)
    torch.testing.assert_close(found, pairs)


def test_a_game_of_terms_that_are_believed_in_is_told_from_few_coalitions() -> None:
    """12 players, terms of first and third order: 232 coefficients from 260 pairs."""
    generator = torch.Generator().manual_seed(0)
    members = every_coalition(12)
    size = members.sum(1)
    terms = torch.randn(4096, 5, generator=generator, dtype=torch.float64)
    terms[(size != 1) & (size != 3)] = 0
    signs = 2.0 * torch.cat([torch.ones(1, 12), draw_coalitions(12, 260, 0)]).double() - 1
    design = torch.stack([signs[:, each].prod(1) for each in members], 1)
    share = torch.where(size % 2 == 1, 2 / size.clamp_min(1), 0.0)
    truth = (terms * share.unsqueeze(1)).T @ members.double()
    process = learn(Process(torch.ones(12, dtype=torch.float64)), signs, design @ terms, None)
    values, errors = Posterior(process, signs, design @ terms).values()
    assert float((values - truth).norm() / truth.norm()) < 0.01
    assert float(((values - truth).abs() <= 2 * errors).double().mean()) > 0.9


def test_everybody_is_known_without_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    signs = 2.0 * torch.cat([torch.ones(1, 20), draw_coalitions(20, 60, 0)]).double() - 1
    worths = torch.randn(61, 4, generator=generator, dtype=torch.float64)
    values, _ = Posterior(Process(torch.ones(20, dtype=torch.float64)), signs, worths).values()
    torch.testing.assert_close(values.sum(1), 2 * worths[0], atol=1e-5, rtol=0)


def test_players_that_matter_are_told_from_those_that_do_not() -> None:
    signs = 2.0 * torch.cat([torch.ones(1, 25), draw_coalitions(25, 100, 0)]).double() - 1
    worths = torch.stack([signs[:, 0] + signs[:, 0] * signs[:, 1] * signs[:, 2], signs[:, 1] - signs[:, 2]], 1)
    start = Process(torch.ones(25, dtype=torch.float64))
    alike = learn(start, signs, worths, None)
    values, _ = Posterior(alike, signs, worths).values()
    told = learn(alike, signs, worths, values)
    assert torch.equal(alike.weights, torch.ones(25, dtype=torch.float64))
    assert float(told.weights.mean()) == pytest.approx(1)
    assert float(told.weights[:3].min()) > 3 * float(told.weights[3:].max())


def test_importance_of_a_game_without_effects_is_alike() -> None:
    assert torch.equal(importance(torch.zeros(3, 4, dtype=torch.float64)), torch.ones(4, dtype=torch.float64))


def test_elementary_polynomials_of_known_numbers() -> None:
    numbers = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    powers = [numbers.pow(k).sum() for k in range(1, 5)]
    assert [round(float(each), 9) for each in elementary(powers, 4)] == [1.0, 10.0, 31.0, 30.0, 0.0]
