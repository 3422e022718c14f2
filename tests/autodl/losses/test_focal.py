from __future__ import annotations

import torch
from torch.nn import functional

from autodl.losses.focal import Focal
from autodl.testing.loss import instance

GAMMAS = (0.0, 0.5, 2.0)


def test_matches_the_formula_with_a_gamma_a_member(classes, column):
    ours = Focal(classes.task, classes.counts)(classes.outputs, classes.targets, {"gamma": column(*GAMMAS)})
    for member, gamma in enumerate(GAMMAS):
        for row in range(9):
            p = torch.softmax(classes.outputs[member, row], dim=0)[classes.targets[member, row]]
            torch.testing.assert_close(ours[member, row], -((1 - p) ** gamma) * torch.log(p))


def test_gamma_zero_is_cross_entropy(classes, column):
    ours = Focal(classes.task, classes.counts)(classes.outputs, classes.targets, {"gamma": column(0, 0, 0)})
    expected = functional.cross_entropy(classes.outputs.flatten(0, 1), classes.targets.flatten(), reduction="none")
    torch.testing.assert_close(ours.flatten(), expected)


def test_easy_rows_count_less_than_hard_ones(column):
    """With gamma 2 a row of p = 0.9 counts a hundredth of its cross-entropy (section 3.2 of the paper)."""
    outputs = torch.tensor([[[0.9, 0.1]]], dtype=torch.float64).log()
    ours = instance(Focal, "binary")(outputs, torch.zeros(1, 1, dtype=torch.long), {"gamma": column(2.0)})
    torch.testing.assert_close(ours / -outputs[0, 0, 0], torch.full((1, 1), 0.01, dtype=torch.float64))


def test_gradient_is_finite_where_the_power_has_none(column):
    """At p = 1 the power of 1 - p below one has an infinite slope, the loss has none."""
    outputs = torch.tensor([[[50.0, -50.0], [20.0, -20.0]]], requires_grad=True)
    loss = instance(Focal, "binary")(outputs, torch.zeros(1, 2, dtype=torch.long), {"gamma": column(0.5).float()})
    loss.sum().backward()
    torch.testing.assert_close(outputs.grad, torch.zeros_like(outputs), rtol=0, atol=1e-6)
