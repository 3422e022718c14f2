from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from autodl.losses.binary_cross_entropy import BinaryCrossEntropy
from autodl.testing.loss import instance


@pytest.fixture
def loss():
    return instance(BinaryCrossEntropy, "multilabel")


def test_matches_torch_with_a_weight_a_member(loss, several, column):
    weights = (1.0, 2.5, 7.0)
    ours = loss(
        several.outputs, several.labels, {"label_smoothing": column(0, 0, 0), "positive_weight": column(*weights)}
    )
    assert ours.shape == (3, 7)
    for member, weight in enumerate(weights):
        expected = functional.binary_cross_entropy_with_logits(
            several.outputs[member], several.labels[member], pos_weight=torch.tensor(weight), reduction="none"
        )
        torch.testing.assert_close(ours[member], expected.mean(-1))


def test_smoothing_is_torchs_over_two_classes(loss, several, column):
    """A label is a class of two, with the logits 0 and the output."""
    smoothings = (0.0, 0.1, 0.5)
    settings = {"label_smoothing": column(*smoothings), "positive_weight": column(1, 1, 1)}
    ours = loss(several.outputs, several.labels, settings)
    logits = torch.stack((torch.zeros_like(several.outputs), several.outputs), dim=-1)
    for member, smoothing in enumerate(smoothings):
        expected = functional.cross_entropy(
            logits[member].flatten(0, 1),
            several.labels[member].flatten().long(),
            label_smoothing=smoothing,
            reduction="none",
        )
        torch.testing.assert_close(ours[member], expected.view(7, 4).mean(-1))


def test_a_weight_lifts_the_best_answer_for_a_rare_label(loss, column):
    """With weight w, the best constant for a label of share p has the odds w p / (1 - p)."""
    targets = (torch.arange(10) == 0).double().view(1, 10, 1)
    outputs = torch.full((1, 10, 1), 4.0 * 0.1 / 0.9, dtype=torch.float64).log().requires_grad_()
    loss(outputs, targets, {"label_smoothing": column(0), "positive_weight": column(4)}).sum().backward()
    assert outputs.grad.sum().item() == pytest.approx(0, abs=1e-12)
