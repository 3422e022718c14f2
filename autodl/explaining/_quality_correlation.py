"""Correlations of many rows at once, over those players that are present."""

from __future__ import annotations

import torch
from torch import Tensor

FLAT = 1e-9
"""Share of its mean square below which a row's variance is rounding."""


def pearson(a: Tensor, b: Tensor, present: Tensor) -> Tensor:
    """Pearson's correlation in each row; 0 where either does not vary, NaN where fewer than two are present.

    Shape: rows many, rows many, rows many → rows
    """
    weight = present.to(a.dtype)
    count = weight.sum(1)
    a, b = (_centred(each, weight, count) for each in (a, b))
    found = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt().clamp_min(1e-300)
    return torch.where(count >= 2, found.clamp(-1, 1), torch.nan)


def spearman(a: Tensor, b: Tensor, present: Tensor) -> Tensor:
    """The correlation of ranks, ties at their mean rank; 1 where both are all ties. Shape: as ``pearson``."""
    ranks = [mean_ranks(each, present) for each in (a, b)]
    ties = [((each == each[:, :1]) | ~present).all(1) for each in (_first_present(each, present) for each in ranks)]
    found = pearson(ranks[0], ranks[1], present)
    return torch.where(ties[0] & ties[1] & ~found.isnan(), 1.0, found)


def mean_ranks(values: Tensor, present: Tensor) -> Tensor:
    """Ranks from 1, those of equals at their mean; who is absent is behind all. Shape: rows many → rows many."""
    held = values.masked_fill(~present, torch.inf).contiguous()
    ordered = held.sort(dim=1).values
    below = torch.searchsorted(ordered, held)
    up_to = torch.searchsorted(ordered, held, right=True)
    return (below + up_to + 1).to(torch.float64) / 2


def _first_present(ranks: Tensor, present: Tensor) -> Tensor:
    """The ranks, with those of absent ones set to the first present one's, so that equality can be asked."""
    first = ranks.gather(1, present.to(torch.uint8).argmax(1, keepdim=True))
    return torch.where(present, ranks, first)


def _centred(values: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    """Less their mean, 0 where absent; all 0 where what is left is rounding."""
    values = torch.where(weight > 0, values, 0.0)
    found = (values - (values.sum(1) / count.clamp_min(1))[:, None]) * weight
    flat = found.square().sum(1) <= FLAT**2 * values.square().sum(1)
    return torch.where(flat[:, None], 0.0, found)
