"""Convolution-pool blocks over a spectrogram, then mean and maximum over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import Apart, activation, gain, initialise
from autodl.encoders._norms import map_norm
from autodl.encoders._settings import complete, dropout_knob, is_image
from autodl.encoders._sides import SMALLEST, Sides, factors, halved, halvings
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

MOST_CHANNELS = 512


class AudioCnn(Encoder):
    """Blocks of convolutions and pooling, then what the maps hold on the average and at most, whenever it sounds.

    Both sides are halved from block to block while they have at least 4 cells. The last maps keep their frequencies, so
    that the network knows what sounds and at which height, but not when. A dense layer makes one token of it.

    Reference:
        Kong, Cao, Iqbal, Wang, Wang, Plumbley: PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
        Recognition, arXiv 1912.10211, section III-B: blocks of two 3×3 convolutions, and mean and maximum over time.
        Theirs have batch normalisation, and lose frequencies before time.
    """

    convolutional: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        blocks=Integer(2, 5, doc="convolution-pool blocks", default=3, limits=(1, 8)),
        channels=Choice(8, 16, 32, 64, doc="maps of the first block", default=16, limits=(1, 512)),
        stem_stride=Choice(2, 1, doc="step of the first convolution, in cells of the spectrogram", default=2),
        growth=Choice(1, 2, doc="factor on the maps from block to block", default=2),
        convolutions=Integer(1, 2, doc="convolutions a block", default=1, limits=(1, 4)),
        kernel=Choice(3, 5, doc="side of the convolutions, in cells of the spectrogram", default=5),
        pool=Choice("max", "average", doc="how four cells become one", default="average"),
        activation=Choice("relu", "gelu", "silu", "mish", doc="what bends the signal", default="relu"),
        normalisation=Choice("group", "none", doc="what evens out the scale of the maps", default="group"),
        width=Choice(64, 128, 256, doc="units of the dense layer", default=128, limits=(1, 4096)),
        dropout=dropout_knob("share of the last maps and of dense units set to zero in training", default=0.2),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Spectrograms of at least 4 frequencies and 4 frames."""
        return is_image(spec, side=SMALLEST) and spec.axes[-1] == "time"

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """As many blocks as there are sides to halve."""
        blocks = cls.space["blocks"]
        assert isinstance(blocks, Integer)
        high = min(blocks.high, halvings((spec.shape[1], spec.shape[2])))
        low = min(blocks.low, high)
        return cls.space.with_changes(blocks=replace(blocks, low=low, high=high, default=min(high, blocks.center())))

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        channels, sides = spec.shape[0], (spec.shape[1], spec.shape[2])
        layers: list[nn.Module] = []
        for block in range(chosen["blocks"]):
            step = chosen["stem_stride"] if block == 0 else 1
            wanted = chosen["channels"] * chosen["growth"] ** block
            wider = max(chosen["channels"], min(wanted, MOST_CHANNELS))
            block_layers, sides = _block(channels, wider, sides, chosen, step)
            layers += block_layers
            channels = wider
        self.maps = nn.Sequential(*layers, Dropout(chosen["dropout"], (channels, 1, 1)))
        self.mean = nn.AvgPool2d((1, sides[1]))
        # Apart here, not before both: what an explainer does to the maximum's input must not reach the mean.
        self.maximum = nn.Sequential(Apart(), nn.MaxPool2d((1, sides[1])))
        self.width = chosen["width"]
        self.dense = nn.Sequential(
            initialise(nn.Linear(2 * channels * sides[0], self.width), gain(chosen["activation"])),
            activation(chosen["activation"]),
            Dropout(chosen["dropout"], (self.width,)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels frequency time → batch 1 width."""
        maps = self.maps(x)
        both = torch.cat((self.mean(maps).flatten(1), self.maximum(maps).flatten(1)), dim=1)
        vector: Tensor = self.dense(both)
        return vector.unsqueeze(1)


def _block(
    channels: int, wider: int, sides: Sides, chosen: Mapping[str, Any], step: int
) -> tuple[list[nn.Module], Sides]:
    """Return the layers of one block, and the sides of the maps that it emits."""
    kernel, layers = chosen["kernel"], list[nn.Module]()
    for place in range(chosen["convolutions"]):
        stride = step if place == 0 else 1
        bias = chosen["normalisation"] == "none"  # a group's shift is its own bias
        convolution = nn.Conv2d(channels, wider, kernel, stride, padding=kernel // 2, bias=bias)
        layers += [
            initialise(convolution, gain(chosen["activation"])),
            *map_norm(chosen["normalisation"], wider),
            activation(chosen["activation"]),
        ]
        sides = (math.ceil(sides[0] / stride), math.ceil(sides[1] / stride))
        channels = wider
    if factors(sides) != (1, 1):
        pool = nn.MaxPool2d if chosen["pool"] == "max" else nn.AvgPool2d
        layers += [Apart(), pool(factors(sides))]
    return layers, halved(sides)
