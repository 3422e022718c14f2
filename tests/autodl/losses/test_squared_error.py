from __future__ import annotations

import torch
from torch.nn import functional

from autodl.losses.squared_error import SquaredError
from autodl.testing.loss import instance


def test_matches_torch(regression):
    ours = instance(SquaredError, "regression")(regression.outputs, regression.targets, {})
    expected = functional.mse_loss(regression.outputs.squeeze(-1), regression.targets, reduction="none")
    torch.testing.assert_close(ours, expected)


def test_of_several_targets_is_their_mean(several):
    ours = instance(SquaredError, "multioutput")(several.outputs, several.targets, {})
    torch.testing.assert_close(ours, functional.mse_loss(several.outputs, several.targets, reduction="none").mean(-1))


def test_is_not_halved():
    assert instance(SquaredError, "regression")(torch.tensor([[[3.0]]]), torch.tensor([[1.0]]), {}).item() == 4
