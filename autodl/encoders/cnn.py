"""Convolution-pool blocks, then dense layers; for images of any size from 4×4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import Apart, activation, gain, initialise
from autodl.encoders._norms import map_norm
from autodl.encoders._settings import complete, dropout_knob, is_image
from autodl.encoders._sides import SMALLEST, Sides, factors, halved, halvings
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

MOST_CHANNELS = 512
WIDEST_MAP = 16
USUAL_MAP = 8


class Cnn(Encoder):
    """Blocks of convolution, normalisation, activation and pooling; the last maps are flattened for dense layers.

    Sizes are worked out from the input: a side is pooled while it has at least 4 pixels, and a convolution without
    padding becomes one with padding where it would leave fewer than 2. Channels grow to at most 512.

    Reference:
        LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86 (1998).
        Tompson, Goroshin, Jain, LeCun, Bregler: Efficient Object Localization Using Convolutional Networks,
        arXiv 1411.4280, for dropping whole maps.
    """

    convolutional: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        blocks=Integer(1, 6, doc="convolution-pool blocks", default=2, limits=(1, 8)),
        channels=Choice(8, 16, 32, 64, doc="maps of the first block", default=32, limits=(1, 512)),
        growth=Choice(1, 2, doc="factor on the maps from block to block", default=2),
        kernel=Choice(3, 5, doc="side of the convolutions, in pixels", default=3),
        convolutions=Integer(1, 2, doc="convolutions a block", default=1, limits=(1, 4)),
        padding=Choice("same", "valid", doc="whether convolutions keep the size of a map", default="same"),
        pool=Choice("max", "average", doc="how four pixels become one", default="max"),
        activation=Choice("relu", "gelu", "silu", "mish", doc="what bends the signal", default="relu"),
        normalisation=Choice("none", "group", doc="what evens out the scale of the maps", default="none"),
        dense_depth=Integer(0, 2, doc="dense layers after the maps", default=1, limits=(0, 4)),
        dense_width=Choice(
            64,
            128,
            256,
            512,
            doc="units of a dense layer",
            when={"dense_depth": (1, 2, 3, 4)},
            default=128,
            limits=(1, 4096),
        ),
        dropout=dropout_knob("share of the last maps and of dense units set to zero in training", default=0.1),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Images of at least 4×4 pixels."""
        return is_image(spec, side=SMALLEST)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """As many blocks as there are sides to halve, and enough to end with maps of at most 16×16."""
        sides = (spec.shape[1], spec.shape[2])
        high = min(6, halvings(sides))
        low = min(high, max(1, halvings(sides, WIDEST_MAP)))
        usual = min(high, max(low, halvings(sides, USUAL_MAP)))
        blocks = Integer(low, high, doc=cls.space["blocks"].doc, default=usual, limits=(1, 8))
        return cls.space.with_changes(blocks=blocks)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        channels, sides = spec.shape[0], (spec.shape[1], spec.shape[2])
        layers: list[nn.Module] = []
        for block in range(chosen["blocks"]):
            wanted = chosen["channels"] * chosen["growth"] ** block
            wider = max(chosen["channels"], min(wanted, MOST_CHANNELS))
            block_layers, sides = _block(channels, wider, sides, chosen)
            layers += block_layers
            channels = wider
        layers += [Dropout(chosen["dropout"], (channels, 1, 1)), nn.Flatten()]
        self.width = channels * sides[0] * sides[1]
        for _ in range(chosen["dense_depth"]):
            layers += [
                initialise(nn.Linear(self.width, chosen["dense_width"]), gain(chosen["activation"])),
                activation(chosen["activation"]),
                Dropout(chosen["dropout"], (chosen["dense_width"],)),
            ]
            self.width = chosen["dense_width"]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch channels height width → batch 1 width."""
        vector: Tensor = self.layers(x)
        return vector.unsqueeze(1)


def _block(channels: int, wider: int, sides: Sides, chosen: Mapping[str, Any]) -> tuple[list[nn.Module], Sides]:
    """Return the layers of one block, and the sides of the maps that it emits."""
    kernel, layers = chosen["kernel"], list[nn.Module]()
    for _ in range(chosen["convolutions"]):
        bare = chosen["padding"] == "valid" and min(sides) - kernel + 1 >= SMALLEST // 2
        bias = chosen["normalisation"] == "none"  # a group's shift is its own bias
        convolution = nn.Conv2d(channels, wider, kernel, padding=0 if bare else kernel // 2, bias=bias)
        layers += [
            initialise(convolution, gain(chosen["activation"])),
            *map_norm(chosen["normalisation"], wider),
            activation(chosen["activation"]),
        ]
        sides = (sides[0] - kernel + 1, sides[1] - kernel + 1) if bare else sides
        channels = wider
    if factors(sides) != (1, 1):
        pool = nn.MaxPool2d if chosen["pool"] == "max" else nn.AvgPool2d
        layers += [Apart(), pool(factors(sides))]
    return layers, halved(sides)
