from __future__ import annotations

import torch
from torch.nn import functional

from autodl.losses.absolute_error import AbsoluteError
from autodl.testing.loss import instance


def test_matches_torch(regression):
    ours = instance(AbsoluteError, "regression")(regression.outputs, regression.targets, {})
    expected = functional.l1_loss(regression.outputs.squeeze(-1), regression.targets, reduction="none")
    torch.testing.assert_close(ours, expected)


def test_of_several_targets_is_their_mean(several):
    ours = instance(AbsoluteError, "multioutput")(several.outputs, several.targets, {})
    torch.testing.assert_close(ours, functional.l1_loss(several.outputs, several.targets, reduction="none").mean(-1))


def test_the_median_costs_least():
    """Among constants, on targets with an outlier."""
    targets = torch.tensor([[0.0, 1.0, 2.0, 3.0, 1000.0]])
    loss = instance(AbsoluteError, "regression")
    costs = {c: loss(torch.full((1, 5, 1), c), targets, {}).mean().item() for c in (1.0, 1.5, 2.0, 2.5, 201.2)}
    assert min(costs, key=lambda c: costs[c]) == 2.0
