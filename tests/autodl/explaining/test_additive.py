from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autodl.explaining.additive import additive_projection
from autodl.records import Task

NUMBER = Task("y", "regression")
CLASSES = Task("y", "multiclass", ("a", "b", "c"))


def textbook(table: Tensor) -> tuple[Tensor, float]:
    """Algorithm 1 of Hessel and Lee on the outputs of every pair, and what it leaves. Shape: rows rows outputs."""
    fitted = table.mean(1, keepdim=True) + table.mean(0, keepdim=True) - table.mean((0, 1))
    own = torch.stack([fitted[row, row] for row in range(len(table))])
    free = (len(table) - 1) ** 2, len(table) ** 2 - 1
    left, whole = (table - fitted).square().sum(), (table - table.mean((0, 1))).square().sum()
    return own, float(left / free[0] / (whole / free[1]))


def test_with_two_inputs_it_is_the_published_method() -> None:
    table = torch.randn(12, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table += torch.linspace(0, 4, 12, dtype=torch.float64).view(-1, 1, 1)
    found = additive_projection(
        lambda index: table.softmax(2)[index[0], index[1]], 2, 12, CLASSES, np.random.default_rng(0)
    )
    own, share = textbook(table.log_softmax(2) - table.log_softmax(2).mean(2, keepdim=True))
    torch.testing.assert_close(found.additive, own.softmax(1))
    assert abs(found.interaction - min(1.0, share)) < 1e-9
    torch.testing.assert_close(found.full, torch.stack([table[row, row] for row in range(12)]).softmax(1))


def test_what_the_fit_misses_is_a_share_of_the_variance() -> None:
    """A sum of three inputs, and beside it as much variance of a product of two of them."""
    x = torch.randn(3, 120, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)

    def ask(index: Tensor) -> Tensor:
        a, b, c = (x[place][rows] for place, rows in enumerate(index))
        return (c + a * b).unsqueeze(1)

    found = additive_projection(ask, 3, 120, NUMBER, np.random.default_rng(0))
    assert abs(found.interaction - 0.5) < 0.03


def test_a_constant_has_no_variance_to_share() -> None:
    found = additive_projection(
        lambda index: torch.ones(index.shape[1], 1, dtype=torch.float64), 2, 9, NUMBER, np.random.default_rng(0)
    )
    assert found.interaction == 0.0
    torch.testing.assert_close(found.additive, found.full)


def test_many_zeros_of_trees_are_no_obstacle() -> None:
    def ask(index: Tensor) -> Tensor:
        sure = torch.zeros(index.shape[1], 3, dtype=torch.float64)
        sure[torch.arange(index.shape[1]), (index[0] + index[1]) % 3] = 1.0
        return sure

    found = additive_projection(ask, 2, 9, CLASSES, np.random.default_rng(0))
    assert found.additive.isfinite().all()
    assert found.interaction > 0.9
