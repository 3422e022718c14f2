"""Correlations of many rows at once agree with scipy's, row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autodl.explaining._quality_correlation import mean_ranks, pearson, spearman


def rows(seed: int, ties: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two arrays of 6 rows and 9 players, of which some are absent."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 6, 9, generator=generator, dtype=torch.float64)
    if ties:
        a, b = a.round(), b.round()
    present = torch.rand(6, 9, generator=generator) < 0.8
    present[:, :4] = True
    a[:, :2], b[:, :2] = torch.tensor([0.0, 1.0]), torch.tensor([2.0, -1.0])  # so that nothing is all ties
    return a, b, present


@given(st.integers(0, 1000), st.booleans())
def test_correlations_are_scipys(seed: int, ties: bool) -> None:
    a, b, present = rows(seed, ties)
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        expected = [theirs(x[p], y[p])[0] for x, y, p in zip(a, b, present, strict=True)]
        assert ours(a, b, present).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_absent_players_do_not_count() -> None:
    a, b, present = rows(0, ties=False)
    moved = torch.where(present, b, 1e6)
    assert pearson(a, moved, present).tolist() == pytest.approx(pearson(a, b, present).tolist())
    assert spearman(moved, a, present).tolist() == pytest.approx(spearman(b, a, present).tolist())


def test_what_does_not_vary_is_correlated_with_nothing() -> None:
    flat, other, there = torch.full((1, 4), 0.3).double(), torch.arange(4.0)[None].double(), torch.ones(1, 4).bool()
    assert pearson(flat, other, there).tolist() == [0]
    assert spearman(other, flat, there).tolist() == [0]
    assert spearman(flat, 2 * flat, there).tolist() == [1]


def test_one_player_has_no_correlation() -> None:
    a = torch.arange(3.0)[None].double()
    there = torch.tensor([[True, False, False]])
    assert bool(pearson(a, a, there).isnan().all())
    assert bool(spearman(a, a, there).isnan().all())


def test_equals_share_their_mean_rank() -> None:
    values = torch.tensor([[5.0, 1.0, 5.0, 7.0, -2.0]])
    present = torch.tensor([[True, True, True, True, False]])
    assert mean_ranks(values, present)[0, :4].tolist() == [2.5, 1, 2.5, 4]
