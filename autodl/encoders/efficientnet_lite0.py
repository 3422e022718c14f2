"""EfficientNet-Lite0 from ImageNet weights, trained on; for images from 32×32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from autodl.contracts import Dropout, Encoder
from autodl.efficientnet import CHANNELS, DEVIATION, MEAN, SMALLEST, EfficientNet, is_installed
from autodl.encoders._settings import complete, dropout_knob, is_image, keep_options
from autodl.encoders._sides import Sides
from autodl.records import InputSpec
from autodl.space import Choice, Space

FROZEN = {"last": 12, "all": 0}
"""Stages that are not trained. The last ones have the smallest maps, and four fifths of all weights."""


class EfficientnetLite0(Encoder):
    """A network that learnt to see from ImageNet goes on learning; every cell of the last maps is a token.

    It reads pixels as ImageNet's were scaled, whatever the input's offset and scale, and a grey image as a coloured
    one. Small images are enlarged, since its cells are 32 pixels wide. Normalisation is part of the weights, so that
    no statistics are kept.

    Reference:
        Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946.
        Yosinski, Clune, Bengio, Lipson: How transferable are features in deep neural networks?, arXiv 1411.1792,
        for training the last layers only.
    """

    convolutional: ClassVar[bool] = True
    pretrained: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        trainable=Choice("last", "all", doc="which layers are trained; the others stay as ImageNet made them"),
        side=Choice(
            64, 128, doc="longest side that smaller images are enlarged to, in pixels", default=128, limits=(32, 512)
        ),
        dropout=dropout_knob("share of the last maps set to zero in training", default=0.2),
    )

    factor: Tensor
    shift: Tensor

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Grey or coloured images of at least 32×32 pixels, where the package with the weights is installed."""
        image = is_image(spec, side=SMALLEST) and spec.axes[1:] == ("height", "width") and spec.shape[0] in (1, 3)
        return image and is_installed()

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """No side that is smaller than another one which would enlarge the image as little."""
        side = cls.space["side"]
        assert isinstance(side, Choice)
        longest = max(spec.shape[1:])
        return cls.space.with_changes(side=keep_options(side, lambda size: size >= longest or size == side.options[-1]))

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width = CHANNELS
        self.sides = _enlarged(spec.shape[1:], chosen["side"])
        factor, shift = torch.ones(()), torch.zeros(())
        if spec.offset is not None and spec.scale is not None:  # else the input is taken to be centred and scaled
            factor, shift = 1 / (spec.scale * DEVIATION), (spec.offset - MEAN) / DEVIATION
        self.register_buffer("factor", factor, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        self.network = EfficientNet(FROZEN[chosen["trainable"]])
        self.dropout = Dropout(chosen["dropout"], (CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels height width → batch cells width, cells row by row."""
        seen = x * self.factor + self.shift
        if seen.shape[-2:] != self.sides:
            seen = functional.interpolate(seen, self.sides, mode="bilinear")
        maps: Tensor = self.dropout(self.network(seen.expand(-1, 3, -1, -1)))
        return maps.flatten(2).transpose(1, 2)


def _enlarged(sides: Sequence[int], longest: int) -> Sides:
    """Height and width with the longer one ``longest``, or as they are where it is longer already."""
    factor = max(1.0, longest / max(sides))
    return round(sides[0] * factor), round(sides[1] * factor)
