"""Activations by name, and the scale of the weights around them."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

RELU_LIKE = math.sqrt(2.0)
"""Gain of He et al.: half of the signal's power is lost in an activation that cuts one side off."""

_ACTIVATIONS: dict[str, tuple[type[nn.Module], float]] = {
    "relu": (nn.ReLU, RELU_LIKE),
    "gelu": (nn.GELU, RELU_LIKE),
    "silu": (nn.SiLU, RELU_LIKE),
    "selu": (nn.SELU, 1.0),
    "mish": (nn.Mish, RELU_LIKE),
    "tanh": (nn.Tanh, 1.0),
}
ACTIVATIONS = tuple(_ACTIVATIONS)

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d)


def activation(name: str) -> nn.Module:
    """Return a new activation module; each use needs its own."""
    return _ACTIVATIONS[name][0]()


def gain(name: str) -> float:
    """Return what weights beside this activation are scaled by, see ``initialise``."""
    return _ACTIVATIONS[name][1]


def initialise(layer: Layer, gain: float = 1.0) -> Layer:
    """Draw the layer's weights again from N(0, gain² / inputs), its bias from ±1 / sqrt(inputs).

    A gain of sqrt(2) is He's rule (ReLU, GELU, SiLU, Mish), a gain of 1 is LeCun's (SELU, tanh, no activation). Biases
    are spread so that the kinks of units with few inputs do not all lie at zero.

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, arXiv 1502.01852, eq. 10.
        Klambauer, Unterthiner, Mayr, Hochreiter: Self-Normalizing Neural Networks, arXiv 1706.02515.
    """
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
    return layer


class Apart(nn.Module):
    """Hands its input on as a tensor of its own, without a copy.

    Explainers hook into activations and max-pools; where one hands the very same tensor to the other, their hooks meet
    on it and DeepLift is wrong without a word.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any → the same."""
        return x.view_as(x)


class Clip(nn.Module):
    """Limits every entry to bounds of its own.

    Args:
        low: Lower bounds, of the shape of one row.
        high: Upper bounds, likewise.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *row → batch *row."""
        return torch.clamp(x, self.low, self.high)


class Cosine(nn.Module):
    """Cosine of every entry."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any → the same."""
        return torch.cos(x)


class Parametric(nn.Module):
    """An activation that each unit learns how far to follow: x + a (activation(x) - x), at the start with a = 1.

    The parameter is held ten times as large as a, which makes steps of a ten times smaller under optimizers that do
    not heed a gradient's scale, as Adam.

    Args:
        activation: What is followed.
        width: Units.

    Reference:
        Holzmüller, Grinsztajn, Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data
        (RealMLP), arXiv 2407.04491, section 3.
    """

    SLOWER = 0.1

    def __init__(self, activation: nn.Module, width: int) -> None:
        super().__init__()
        self.activation = activation
        self.amount = nn.Parameter(torch.full((width,), 1 / self.SLOWER))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width → batch width."""
        return torch.lerp(x, self.activation(x), (self.SLOWER * self.amount).to(x.dtype))


class Sine(nn.Module):
    """Sine of every entry."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any → the same."""
        return torch.sin(x)
