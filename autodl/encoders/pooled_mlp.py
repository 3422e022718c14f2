"""Mean over the cells of a pretrained network's maps, then hidden layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import activation, gain, initialise
from autodl.encoders._settings import complete, dropout_knob, is_image
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

FEWEST_CHANNELS = 128
"""Channels from which an input is taken for feature maps, and no longer for an image."""


class PooledMlp(Encoder):
    """Each map becomes its mean, which forgets where something was seen; the means run through hidden layers.

    Where it matters, as for digits, all cells of the maps run through them instead. With no hidden layer the model is
    linear, up to the scale of each row.

    Reference:
        Lin, Chen, Yan: Network In Network, arXiv 1312.4400, section 3.2, for the mean of each map.
        Donahue et al.: DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition,
        arXiv 1310.1531, for what a network learnt on one task as features for another.
    """

    reads: ClassVar[Mapping[str, Any]] = {"features": "imagenet"}
    pretrained: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        pool=Choice("mean", "none", doc="whether each map becomes its mean, or all of its cells stay", default="mean"),
        depth=Integer(0, 3, doc="hidden layers", default=1, limits=(0, 16)),
        width=Choice(
            64,
            128,
            256,
            512,
            doc="units of a hidden layer",
            when={"depth": tuple(range(1, 17))},
            default=256,
            limits=(1, 4096),
        ),
        activation=Choice(
            "relu", "gelu", "silu", doc="what bends the signal", when={"depth": tuple(range(1, 17))}, default="relu"
        ),
        normalisation=Choice("none", "layer", doc="what evens out the scale of a row's means", default="layer"),
        dropout=dropout_knob("share of means and of hidden units set to zero in training", default=0.2),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Maps of height and width, at least 128 of them."""
        return is_image(spec) and spec.axes[1:] == ("height", "width") and spec.shape[0] >= FEWEST_CHANNELS

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width = spec.shape[0] if chosen["pool"] == "mean" else math.prod(spec.shape)
        layers: list[nn.Module] = [_Mean() if chosen["pool"] == "mean" else nn.Flatten()]
        layers += [nn.LayerNorm(self.width)] if chosen["normalisation"] == "layer" else []
        layers.append(Dropout(chosen["dropout"], (self.width,)))
        for _ in range(chosen["depth"]):
            layers += [
                initialise(nn.Linear(self.width, chosen["width"]), gain(chosen["activation"])),
                activation(chosen["activation"]),
                Dropout(chosen["dropout"], (chosen["width"],)),
            ]
            self.width = chosen["width"]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels height width → batch 1 width."""
        vector: Tensor = self.layers(x)
        return vector.unsqueeze(1)


class _Mean(nn.Module):
    """The mean of each map."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels height width → batch channels."""
        return x.mean((2, 3))
