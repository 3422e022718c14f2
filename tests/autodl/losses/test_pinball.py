from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from autodl.losses.pinball import Pinball
from autodl.records import Task

LEVELS = (0.05, 0.5, 0.75, 0.9)


def loss(*levels: float) -> Pinball:
    return Pinball(Task("y", "quantile", quantiles=levels), torch.empty(0))


def test_matches_scikit_learn(several):
    targets = several.targets[..., 0]
    ours = loss(*LEVELS)(several.outputs, targets, {})
    assert ours.shape == (3, 7)
    expected = np.mean([mean_pinball_loss(targets[1], several.outputs[1, :, i], alpha=q) for i, q in enumerate(LEVELS)])
    assert ours[1].mean().item() == pytest.approx(expected, rel=1e-12)


def test_by_hand():
    """At level 0.9 a number that is 2 too low costs 1.8, one that is 2 too high 0.2."""
    costs = loss(0.9)(torch.tensor([[[3.0], [3.0]]]), torch.tensor([[5.0, 1.0]]), {})
    torch.testing.assert_close(costs, torch.tensor([[1.8, 0.2]]))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_the_quantile_costs_least(level):
    """Among constants, on the numbers 0 to 100."""
    targets = torch.arange(101.0, dtype=torch.float64).unsqueeze(0)
    constants = torch.arange(101.0, dtype=torch.float64)
    costs = [loss(level)(torch.full((1, 101, 1), c.item()).double(), targets, {}).mean() for c in constants]
    assert int(torch.stack(costs).argmin()) == 100 * level


def test_the_gradient_weighs_both_sides_by_the_level():
    outputs = torch.tensor([[[-1.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    loss(0.1, 0.9)(outputs, torch.zeros(1, 1, dtype=torch.float64), {}).sum().backward()
    torch.testing.assert_close(outputs.grad, torch.tensor([[[-0.1, 0.1]]], dtype=torch.float64) / 2)
