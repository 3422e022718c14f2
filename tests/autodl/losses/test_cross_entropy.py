from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from autodl.losses.cross_entropy import CrossEntropy
from autodl.testing.loss import TASKS

SMOOTHINGS = (0.0, 0.1, 0.5)


def test_matches_torch_with_a_smoothing_a_member(classes, column):
    settings = {"label_smoothing": column(*SMOOTHINGS), "class_weight": column(0, 0, 0)}
    ours = CrossEntropy(classes.task, classes.counts)(classes.outputs, classes.targets, settings)
    for member, smoothing in enumerate(SMOOTHINGS):
        expected = functional.cross_entropy(
            classes.outputs[member], classes.targets[member], reduction="none", label_smoothing=smoothing
        )
        torch.testing.assert_close(ours[member], expected)


def test_matches_torch_with_a_class_weight_a_member(classes, column):
    exponents = column(0.0, 0.5, 1.0)
    loss = CrossEntropy(classes.task, classes.counts)
    settings = {"label_smoothing": column(0, 0, 0), "class_weight": exponents}
    ours = loss(classes.outputs, classes.targets, settings)
    for member, weights in enumerate(loss.class_weights(exponents)):
        expected = functional.cross_entropy(
            classes.outputs[member], classes.targets[member], weight=weights, reduction="none"
        )
        torch.testing.assert_close(ours[member], expected)


def test_class_weights(classes, column):
    """Their mean over training rows is 1; without an exponent all are 1; with exponent 1 they balance the classes."""
    counts = classes.counts.double()
    none, half, balanced = CrossEntropy(classes.task, classes.counts).class_weights(column(0.0, 0.5, 1.0))
    torch.testing.assert_close(none, torch.ones_like(none))
    for weights in (none, half, balanced):
        assert (weights @ counts / counts.sum()).item() == pytest.approx(1, abs=1e-6)
    shares = (balanced * counts)[counts > 0]
    torch.testing.assert_close(shares, torch.full_like(shares, shares[0].item()), rtol=1e-6, atol=0)
    torch.testing.assert_close((half / half[0]).square(), balanced / balanced[0], rtol=1e-6, atol=0)


def test_a_class_without_rows_counts_as_one_row(column):
    weights = CrossEntropy(TASKS["multiclass"], torch.tensor([50, 1, 0])).class_weights(column(1.0))[0]
    assert weights[2] == weights[1]
    assert weights.isfinite().all()


def test_smoothing_spreads_the_target(column):
    """With smoothing s the best logits are those of probabilities 1 - s + s / classes and s / classes."""
    smoothing, count = 0.2, 4
    probabilities = torch.full((1, 1, count), smoothing / count, dtype=torch.float64)
    probabilities[0, 0, 0] += 1 - smoothing
    outputs = probabilities.log().requires_grad_()
    settings = {"label_smoothing": column(smoothing), "class_weight": column(0.0)}
    CrossEntropy(TASKS["multiclass"], torch.ones(count))(
        outputs, torch.zeros(1, 1, dtype=torch.long), settings
    ).sum().backward()
    torch.testing.assert_close(outputs.grad, torch.zeros_like(outputs), rtol=0, atol=1e-12)
