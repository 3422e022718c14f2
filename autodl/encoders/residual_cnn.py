"""Residual convolutional network with normalisation before each convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import activation, gain, initialise
from autodl.encoders._norms import map_norm
from autodl.encoders._settings import complete, dropout_knob, is_image, keep_options
from autodl.encoders._sides import SMALLEST, Sides, factors, halvings
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

MOST_CHANNELS = 512
LARGEST_MAP = 64
SMALLEST_MAP = 24


class ResidualCnn(Encoder):
    """A convolution, then stages of pre-activation residual blocks; every cell of the last maps is a token.

    Each stage but the first halves the sides, while they have at least 4 pixels. The mean over tokens is the global
    average pooling of the paper. Where the paper has batch normalisation, this has group normalisation.

    Reference:
        He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, arXiv 1603.05027, figure 4e.
        Zagoruyko, Komodakis: Wide Residual Networks, arXiv 1605.07146, for dropout between the convolutions.
    """

    convolutional: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        stages=Integer(1, 4, doc="stages, each with maps half as large as the one before", default=3, limits=(1, 6)),
        blocks=Integer(1, 3, doc="residual blocks a stage", default=1, limits=(1, 16)),
        channels=Choice(16, 32, 64, doc="maps of the first stage", default=32, limits=(1, 512)),
        growth=Choice(1, 2, doc="factor on the maps from stage to stage", default=2),
        stem_stride=Choice(1, 2, 4, doc="step of the first convolution, in pixels", default=1),
        activation=Choice("relu", "gelu", "silu", "mish", doc="what bends the signal", default="relu"),
        dropout=dropout_knob("share of maps inside blocks set to zero in training", default=0.0),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Images of at least 4×4 pixels."""
        return is_image(spec, side=SMALLEST)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """As many stages as there are sides to halve; a longer first step for larger images, 1 for small ones."""
        sides, stages, step = (spec.shape[1], spec.shape[2]), cls.space["stages"], cls.space["stem_stride"]
        assert isinstance(stages, Integer)
        assert isinstance(step, Choice)
        high = min(stages.high, 1 + halvings(sides))
        space = cls.space.with_changes(stages=replace(stages, high=high, default=min(high, stages.center())))
        fitting = keep_options(step, lambda step: _step_fits(sides, step))
        return space.without("stem_stride") if fitting.options == (1,) else space.with_changes(stem_stride=fitting)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        width, step = chosen["channels"], chosen["stem_stride"]
        stem = nn.Conv2d(spec.shape[0], width, max(3, 2 * step - 1), step, padding=max(1, step - 1), bias=False)
        self.stem = initialise(stem)
        sides = (math.ceil(spec.shape[1] / step), math.ceil(spec.shape[2] / step))
        blocks: list[nn.Module] = []
        for stage in range(chosen["stages"]):
            wider = max(chosen["channels"], min(chosen["channels"] * chosen["growth"] ** stage, MOST_CHANNELS))
            stride = factors(sides) if stage else (1, 1)
            blocks.append(_Block(width, wider, stride, chosen))
            blocks += [_Block(wider, wider, (1, 1), chosen) for _ in range(chosen["blocks"] - 1)]
            width, sides = wider, (math.ceil(sides[0] / stride[0]), math.ceil(sides[1] / stride[1]))
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(*map_norm("group", width), activation(chosen["activation"]))
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels height width → batch cells width, cells row by row."""
        maps: Tensor = self.last(self.blocks(self.stem(x)))
        return maps.flatten(2).transpose(1, 2)


class _Block(nn.Module):
    """x + convolution(dropout(ready(convolution(ready(x))))), where ready is normalisation and activation.

    Where the shape changes, a 1×1 convolution of ready(x) stands in the place of x.
    """

    def __init__(self, width: int, wider: int, stride: Sides, chosen: Mapping[str, Any]) -> None:
        super().__init__()
        scale = gain(chosen["activation"])
        count = chosen["stages"] * chosen["blocks"]
        self.ready = nn.Sequential(*map_norm("group", width), activation(chosen["activation"]))
        self.change = nn.Sequential(
            initialise(nn.Conv2d(width, wider, 3, stride, padding=1, bias=False), scale),
            *map_norm("group", wider),
            activation(chosen["activation"]),
            Dropout(chosen["dropout"], (wider, 1, 1)),
            initialise(nn.Conv2d(wider, wider, 3, padding=1, bias=False), scale / math.sqrt(count)),
        )
        self.shortcut: nn.Conv2d | None = None
        if stride != (1, 1) or width != wider:
            self.shortcut = initialise(nn.Conv2d(width, wider, 1, stride, bias=False), scale)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width height width → batch wider height' width'."""
        ready = self.ready(x)
        kept = x if self.shortcut is None else self.shortcut(ready)
        changed: Tensor = kept + self.change(ready)
        return changed


def _step_fits(sides: Sides, step: int) -> bool:
    """Whether the maps after the first convolution are neither slow nor blind."""
    if step == 1:
        return max(sides) <= LARGEST_MAP
    return min(sides) >= SMALLEST_MAP * step and (max(sides) <= LARGEST_MAP * step or step == 4)
