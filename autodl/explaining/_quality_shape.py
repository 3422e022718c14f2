"""How many players an explanation speaks of: sparseness and complexity."""

from __future__ import annotations

import torch
from torch import Tensor

from autodl.explaining._quality_game import RANDOM, Found, Game


def shape(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """The Gini index and the entropy, in nats, of the shares that |values| have in their sum.

    They ask the model nothing and say nothing of truth: 1 - 1/n and 0 where one of n players has all, 0 and ln n where
    all have the same. Random values are drawn from one normal distribution.

    Reference:
        Prasad Chalasani, Jiefeng Chen, Amrita Roy Chowdhury, Somesh Jha, Xi Wu: Concise Explanations of Neural Networks
        using Adversarial Training, ICML 2020, arXiv 1810.06583 (Gini index). Umang Bhatt, Adrian Weller, José M. F.
        Moura: Evaluating and Aggregating Feature-based Model Explanations, IJCAI 2020, arXiv 2005.00631 (complexity).
    """
    drawn = [torch.randn(game.values.shape, generator=generator, dtype=torch.float64) for _ in range(RANDOM)]
    shares = [_shares(each.to(game.values.device), game.present) for each in (game.values, *drawn)]
    ginis = [gini(each, game.present) for each in shares]
    entropies = [entropy(each) for each in shares]
    enough = game.count >= 2
    answers = {}
    for name, found in (("sparseness", ginis), ("complexity", entropies)):
        own, random = (torch.where(enough, each, torch.nan) for each in (found[0], torch.stack(found[1:]).mean(0)))
        answers[name] = Found(own, random)
    return answers


def gini(shares: Tensor, present: Tensor) -> Tensor:
    """The Gini index of those who are present. Shape: rows players, rows players → rows."""
    count = present.sum(1, keepdim=True)
    ordered = shares.masked_fill(~present, -1).sort(dim=1).values
    place = torch.arange(1, shares.shape[1] + 1, device=shares.device) - (shares.shape[1] - count)
    return ((2 * place - count - 1) * ordered.clamp_min(0) * (place > 0)).sum(1) / count[:, 0].clamp_min(1)


def entropy(shares: Tensor) -> Tensor:
    """In nats. Shape: rows players → rows."""
    return -torch.xlogy(shares, shares).sum(1)


def _shares(values: Tensor, present: Tensor) -> Tensor:
    """What part of the sum of |values| each has; the same for all where that is 0."""
    size = torch.where(present, values.abs(), 0.0)
    size = torch.where(size.sum(1, keepdim=True) > 0, size, present.to(size.dtype))
    return size / size.sum(1, keepdim=True).clamp_min(1e-300)
