from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autodl.encoders._windows import BestWindow


def by_hand(module: BestWindow, x: Tensor) -> Tensor:
    """Every window, the empty one too, with autograd all the way."""
    padded = nn.functional.pad(x, (0, 0, module.size, module.size))
    weight = module.convolution.weight.transpose(1, 2)
    windows = [padded[:, place : place + module.size] for place in range(padded.shape[1] - module.size + 1)]
    answers = torch.stack([torch.einsum("bsw,fsw->bf", window, weight) for window in windows])
    return answers.amax(0) + module.bias


@pytest.mark.parametrize("size", [1, 2, 5])
def test_answers_and_gradients_are_the_textbooks(size: int) -> None:
    torch.manual_seed(0)
    module = BestWindow(6, 8, size).double()
    nn.init.normal_(module.bias)
    x = torch.randn(3, 7, 6, dtype=torch.float64, requires_grad=True)
    found, expected = module(x), by_hand(module, x)
    torch.testing.assert_close(found, expected)
    wanted = [x, *module.parameters()]
    direction = torch.randn_like(found)
    mine, theirs = (torch.autograd.grad(each, wanted, direction) for each in (found, expected))
    torch.testing.assert_close(mine, theirs)
