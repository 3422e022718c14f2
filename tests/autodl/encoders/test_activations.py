from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from autodl.encoders._activations import (
    ACTIVATIONS,
    Apart,
    Clip,
    Cosine,
    Parametric,
    Sine,
    activation,
    gain,
    initialise,
)


def test_known_activations() -> None:
    assert ACTIVATIONS == ("relu", "gelu", "silu", "selu", "mish", "tanh")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_use_gets_its_own_module(name: str) -> None:
    assert activation(name) is not activation(name)


def test_relu_is_exactly_torchs() -> None:
    """Captum goes by ``type(module)``: a subclass would be explained wrongly."""
    assert type(activation("relu")) is nn.ReLU
    assert type(activation("tanh")) is nn.Tanh


@pytest.mark.parametrize(
    ("name", "expected"), [("relu", math.sqrt(2)), ("mish", math.sqrt(2)), ("selu", 1), ("tanh", 1)]
)
def test_gain(name: str, expected: float) -> None:
    assert gain(name) == pytest.approx(expected)


@pytest.mark.parametrize("layer", [nn.Linear(200, 300), nn.Conv2d(8, 300, 5)], ids=["linear", "convolution"])
def test_initialise_draws_by_the_number_of_inputs(layer: nn.Linear | nn.Conv2d) -> None:
    inputs = 200  # 200 features, or 8 maps of 5×5 cells
    torch.manual_seed(0)
    drawn = initialise(layer, gain("relu"))
    assert drawn is layer
    assert drawn.weight.std().item() == pytest.approx(math.sqrt(2 / inputs), rel=0.02)
    assert drawn.weight.mean().abs().item() < 0.003
    assert drawn.bias is not None
    assert drawn.bias.abs().max().item() <= 1 / math.sqrt(inputs)
    assert drawn.bias.std().item() == pytest.approx(1 / math.sqrt(3 * inputs), rel=0.1)


@pytest.mark.parametrize("name", ["relu", "selu"])
def test_the_signal_keeps_its_power_through_many_layers(name: str) -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(8) for part in (initialise(nn.Linear(512, 512), gain(name)), activation(name))]
    power = nn.Sequential(*layers)(torch.randn(256, 512)).square().mean().item()
    assert 0.3 < power < 3


def test_apart_shares_memory_but_not_the_object() -> None:
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    y = Apart()(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert torch.equal(x, y)


def test_clip_has_bounds_for_every_entry() -> None:
    clip = Clip(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 5.0]))
    assert clip(torch.tensor([[-3.0, -3.0], [3.0, 3.0]])).tolist() == [[-1, 0], [1, 3]]


def test_waves() -> None:
    x = torch.tensor([0.0, math.pi / 2])
    torch.testing.assert_close(Cosine()(x), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(Sine()(x), torch.tensor([0.0, 1.0]))


def test_parametric_is_the_papers() -> None:
    """x + a (act(x) - x); a is 1 at the start and moves at a tenth of its parameter's steps."""
    bend = Parametric(nn.Tanh(), 3).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(bend(x), x.tanh())
    bend.amount.data += torch.tensor([0.0, -5.0, -10.0])
    torch.testing.assert_close(bend(x), x + torch.tensor([1.0, 0.5, 0.0]) * (x.tanh() - x))
