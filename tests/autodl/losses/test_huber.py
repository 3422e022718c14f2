from __future__ import annotations

import torch
from torch.nn import functional

from autodl.losses.huber import Huber
from autodl.testing.loss import instance

DELTAS = (0.1, 1.0, 3.0)


def test_matches_torch_with_a_delta_a_member(regression, column):
    ours = instance(Huber, "regression")(regression.outputs, regression.targets, {"delta": column(*DELTAS)})
    for member, delta in enumerate(DELTAS):
        expected = functional.huber_loss(
            regression.outputs[member].squeeze(-1), regression.targets[member], reduction="none", delta=delta
        )
        torch.testing.assert_close(ours[member], expected)


def test_of_several_targets_is_their_mean(several, column):
    ours = instance(Huber, "multioutput")(several.outputs, several.targets, {"delta": column(*DELTAS)})
    for member, delta in enumerate(DELTAS):
        outputs, targets = several.outputs[member], several.targets[member]
        expected = functional.huber_loss(outputs, targets, reduction="none", delta=delta).mean(-1)
        torch.testing.assert_close(ours[member], expected)


def test_gradient_is_cut_at_delta(column):
    outputs = torch.tensor([[[-50.0], [-0.5], [0.5], [50.0]]], dtype=torch.float64, requires_grad=True)
    targets = torch.zeros(1, 4, dtype=torch.float64)
    instance(Huber, "regression")(outputs, targets, {"delta": column(2.0)}).sum().backward()
    assert outputs.grad.flatten().tolist() == [-2.0, -0.5, 0.5, 2.0]
