"""Which coalitions are asked, and what all of them say together: exact values by a Walsh transform."""

from __future__ import annotations

import torch
from torch import Tensor


def every_coalition(players: int) -> Tensor:
    """All 2^n, in binary order: nobody first, everybody last. Shape: → 2^players players."""
    return (torch.arange(2**players).unsqueeze(1) >> torch.arange(players)) % 2 == 1


def draw_coalitions(players: int, count: int, seed: int) -> Tensor:
    """Different coalitions of which none is another's complement: single players first, then sizes k as k (n - k).

    Singles tell each player's main effect apart from what it does in company. They are left out where they would take
    more than half of the coalitions. There may be fewer than were asked for, as there are 2^(players - 1) - 1.

    Reference:
        Musco, Witter: Provably Accurate Shapley Value Estimation via Leverage Score Sampling, arXiv 2410.01917 (without
        replacement, paired with complements; all sizes alike there, which errs more than this where terms of third
        order are told too).
    """
    generator = torch.Generator().manual_seed(seed)
    found = torch.eye(players, dtype=torch.bool) if 2 * players <= count else torch.zeros(0, players, dtype=torch.bool)
    if 4 * count > 2**players:  # without the last player none is another's complement
        rest = every_coalition(players)[1 : 2 ** (players - 1)]
        return _different(torch.cat([found, rest[torch.randperm(len(rest), generator=generator)]]))[:count]
    while len(found) < count:
        more = 2 * (count - len(found))
        sizes = _sizes(players, more, singles=not len(found), generator=generator)
        rank = torch.rand(more, players, generator=generator).argsort(1).argsort(1)
        found = _different(torch.cat([found, rank < sizes.unsqueeze(1)]))
    return found[:count]


def walsh(values: Tensor) -> Tensor:
    """Coefficients of the products of ±1 (present, absent) over each coalition. Shape: 2^players … → the same."""
    found, step = values, 1
    while step < len(values):
        pairs = found.reshape(-1, 2, step, *values.shape[1:])
        found = torch.stack([pairs[:, 1] + pairs[:, 0], pairs[:, 1] - pairs[:, 0]], 1).reshape(values.shape)
        step *= 2
    return found / len(values)


def exact_values(values: Tensor) -> Tensor:
    """Shapley values from the worth of every coalition: a term over T of odd size gives 2/|T| to each in T.

    Shape:
        values: 2^players columns
        → columns players
    """
    members = every_coalition(len(values).bit_length() - 1).double()
    size = members.sum(1)
    share = torch.where(size % 2 == 1, 2 / size.clamp_min(1), 0.0)
    return walsh(values).T @ (members * share.unsqueeze(1))


def exact_interactions(values: Tensor) -> Tensor:
    """Shapley interactions of pairs from the worth of every coalition: a term over T of even size gives 4/(|T| - 1).

    Shape:
        values: 2^players columns
        → columns players players

    Reference:
        Grabisch, Roubens: An axiomatic approach to the concept of interaction among players in cooperative games,
        Int. J. Game Theory 28, 1999 (the index, eq. 2, written in Walsh terms).
    """
    members = every_coalition(len(values).bit_length() - 1).double()
    size = members.sum(1)
    share = torch.where((size % 2 == 0) & (size > 0), 4 / (size - 1).clamp_min(1), 0.0)
    found = torch.einsum("tc,ti,tj->cij", walsh(values) * share.unsqueeze(1), members, members)
    return without_diagonal(found)


def without_diagonal(found: Tensor) -> Tensor:
    """Shape: … players players → the same, with a diagonal of zeros."""
    return found.masked_fill(torch.eye(found.shape[-1], dtype=torch.bool), 0.0)


def _sizes(players: int, count: int, singles: bool, generator: torch.Generator) -> Tensor:
    """Sizes in proportion to k (n - k), evenly, so that none is met more or less often by chance. Shape: → count."""
    least = 1 if singles else 2
    sizes = torch.arange(least, players - least + 1)
    shares = (sizes * (players - sizes)).double()
    level = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator).double()) / count
    return sizes[torch.searchsorted((shares / shares.sum()).cumsum(0), level).clamp_max(len(sizes) - 1)]


def _different(coalitions: Tensor) -> Tensor:
    """Without those that came before, themselves or as their complement, in their order."""
    side = torch.where(coalitions[:, :1], coalitions, ~coalitions)
    found, index = torch.unique(side, dim=0, return_inverse=True)
    first = torch.full((len(found),), len(side)).scatter_reduce_(0, index, torch.arange(len(side)), "amin")
    return coalitions[first.sort().values]
