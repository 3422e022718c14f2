from __future__ import annotations

import torch

from autodl.losses._errors import errors


def test_one_target_is_compared_with_every_output() -> None:
    outputs, targets = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[1.0, 5.0]])
    assert errors(outputs, targets).tolist() == [[[0, 1], [-2, -1]]]


def test_several_targets_are_compared_one_by_one() -> None:
    outputs, targets = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    assert errors(outputs, targets).tolist() == [[[0, 2], [3, 0]]]
