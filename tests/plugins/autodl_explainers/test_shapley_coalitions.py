from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autodl_explainers._shapley_coalitions import (
    draw_coalitions,
    every_coalition,
    exact_interactions,
    exact_values,
    walsh,
)


def textbook_values(worths: Tensor, players: int) -> Tensor:
    """The mean over all orders of what a player adds on coming."""
    orders = list(permutations(range(players)))
    found = torch.zeros(players, dtype=torch.float64)
    for order in orders:
        before = 0
        for player in order:
            found[player] += worths[before | 1 << player] - worths[before]
            before |= 1 << player
    return found / len(orders)


def textbook_interaction(worths: Tensor, players: int, i: int, j: int) -> float:
    """Grabisch and Roubens: the mean over sizes, then over coalitions without both, of the second difference."""
    found, both = 0.0, 1 << i | 1 << j
    for size in range(players - 1):
        others = [s for s in range(2**players) if not s & both and s.bit_count() == size]
        steps = [worths[s | both] - worths[s | 1 << i] - worths[s | 1 << j] + worths[s] for s in others]
        found += float(sum(steps)) / len(others) / (players - 1)
    return found


def some_worths(players: int, seed: int, columns: int = 3) -> Tensor:
    return torch.randn(2**players, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("players", [1, 2, 3, 5, 6])
def test_exact_values_are_the_mean_over_all_orders(players: int) -> None:
    worths = some_worths(players, players)
    expected = torch.stack([textbook_values(column, players) for column in worths.T])
    torch.testing.assert_close(exact_values(worths), expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("players", [2, 3, 5, 6])
def test_exact_interactions_are_the_mean_second_difference(players: int) -> None:
    worths = some_worths(players, players)
    found = exact_interactions(worths)
    for column, each in zip(worths.T, found, strict=True):
        for i in range(players):
            for j in range(players):
                expected = 0.0 if i == j else textbook_interaction(column, players, i, j)
                assert float(each[i, j]) == pytest.approx(expected, abs=1e-13)


def test_walsh_gives_back_the_worths() -> None:
    worths, signs = some_worths(4, 0), 2 * every_coalition(4).double() - 1
    members = every_coalition(4)
    products = torch.stack([signs[:, chosen].prod(1) for chosen in members], 1)
    torch.testing.assert_close(products @ walsh(worths), worths)


@given(st.integers(2, 40), st.integers(1, 200), st.integers(0, 5))
def test_drawn_coalitions_are_as_many_as_there_can_be_and_no_two_say_the_same(
    players: int, count: int, seed: int
) -> None:
    found = draw_coalitions(players, count, seed)
    assert len(found) == min(count, 2 ** (players - 1) - 1)
    assert found.any(1).all()
    assert not found.all(1).any()
    keys = {tuple(row) for row in torch.cat([found, ~found]).tolist()}
    assert len(keys) == 2 * len(found)
    assert torch.equal(found, draw_coalitions(players, count, seed))
    if 2 * players <= count:
        assert torch.equal(found[:players][:, :players], torch.eye(players, dtype=torch.bool)) or players < 3


def test_other_seeds_draw_others_and_global_chance_stays() -> None:
    before = torch.random.get_rng_state()
    assert not torch.equal(draw_coalitions(20, 50, 0), draw_coalitions(20, 50, 1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_sizes_are_drawn_as_said() -> None:
    sizes = draw_coalitions(20, 4020, 0)[20:].sum(1)
    expected = torch.tensor([k * (20 - k) for k in range(2, 19)]).double()
    counts = torch.bincount(sizes, minlength=19)[2:].double()
    pooled, wanted = counts + counts.flip(0), expected + expected.flip(0)  # duplicates leave the ends first
    difference = (pooled / pooled.sum() - wanted / wanted.sum())[2:-2].abs()
    assert float(difference.max()) < 0.01
