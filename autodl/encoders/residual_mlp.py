"""Residual multilayer perceptron with normalisation before each block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import ACTIVATIONS, activation, gain, initialise
from autodl.encoders._embeddings import EMBEDDING_KNOBS, embed, narrow_embedding
from autodl.encoders._norms import vector_norm
from autodl.encoders._settings import complete, dropout_knob, is_image, is_vector, narrow_width
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space


class ResidualMlp(Encoder):
    """A linear map, then blocks that each add something to what they are given, then normalisation and activation.

    Where the paper has batch normalisation, this has normalisation of each row, as running statistics cannot be kept
    apart in a pack. What blocks add starts smaller the more blocks there are, so that depth does not raise the scale.

    Reference:
        Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, arXiv 2106.11959,
        section 3.2.
    """

    space: ClassVar[Space] = Space(
        depth=Integer(1, 6, doc="residual blocks", default=2, limits=(1, 64)),
        width=Choice(32, 64, 128, 256, 512, doc="width between the blocks", default=128, limits=(1, 4096)),
        expansion=Choice(1, 2, 4, doc="a block's hidden units, in widths", default=2, limits=(1, 8)),
        activation=Choice(*ACTIVATIONS, doc="what bends the signal in each block", default="relu"),
        normalisation=Choice("layer", "rms", doc="what evens out the scale before each block", default="layer"),
        dropout=dropout_knob("share of hidden units set to zero in training", default=0.1),
        residual_dropout=dropout_knob("share of what a block adds set to zero", default=0.0),
        **EMBEDDING_KNOBS,
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Vectors and images."""
        return is_vector(spec) or is_image(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """No embedding where there are no numbers, or too many; narrow layers on very wide inputs."""
        return narrow_width(narrow_embedding(cls.space, spec), spec)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width = chosen["width"]
        self.embedding, inputs = embed(spec, chosen)
        self.stem = initialise(nn.Linear(inputs, self.width))
        self.blocks = nn.Sequential(*(_Block(self.width, chosen) for _ in range(chosen["depth"])))
        self.last = nn.Sequential(*vector_norm(chosen["normalisation"], self.width), activation(chosen["activation"]))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *shape → batch 1 width."""
        vector: Tensor = self.last(self.blocks(self.stem(self.embedding(x))))
        return vector.unsqueeze(1)


class _Block(nn.Module):
    """x + dropout(linear(dropout(activation(linear(normalised x)))))."""

    def __init__(self, width: int, chosen: Mapping[str, Any]) -> None:
        super().__init__()
        hidden = width * chosen["expansion"]
        scale = gain(chosen["activation"])
        self.change = nn.Sequential(
            *vector_norm(chosen["normalisation"], width),
            initialise(nn.Linear(width, hidden), scale),
            activation(chosen["activation"]),
            Dropout(chosen["dropout"], (hidden,)),
            initialise(nn.Linear(hidden, width), scale / math.sqrt(chosen["depth"])),
            Dropout(chosen["residual_dropout"], (width,)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width → batch width."""
        changed: Tensor = x + self.change(x)
        return changed
