from __future__ import annotations

import torch
from torch.nn import functional

from autodl.losses.squared_error import SquaredError


def test_matches_torch(regression):
    ours = SquaredError(torch.empty(0))(regression.outputs, regression.targets, {})
    expected = functional.mse_loss(regression.outputs.squeeze(-1), regression.targets, reduction="none")
    torch.testing.assert_close(ours, expected)


def test_is_not_halved():
    assert SquaredError(torch.empty(0))(torch.tensor([[[3.0]]]), torch.tensor([[1.0]]), {}).item() == 4
