"""Each input's mean token side by side; a learned vector where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Space
from autodl_fusions._inputs import Inputs, dropout_knob, normalize_knob


class Concat(Fusion):
    """The simplest fusion: each input speaks for itself, and what follows weighs them.

    Where an input is missing, a learned vector of its own stands in, in training and in prediction alike. Without a
    projection the network's head makes a sum of it, in which no two inputs interact.

    Args:
        widths: Width of the tokens of each input.
        normalize: Whether each input's mean token passes a LayerNorm, so that no input is louder than another.
        projection: Width of a hidden layer that blends the inputs; 0 for none.
        dropout: Probability that an entry of the result is dropped in training.

    Reference:
        Tang, Zhong, He, Friedland: Bag of Tricks for Multimodal AutoML with Image, Text, and Tabular Data,
        arXiv 2412.16243 (late fusion by concatenation; learned vectors for missing inputs).
    """

    space: ClassVar[Space] = Space(
        normalize=normalize_knob(default=False),
        projection=Choice(0, 128, 256, limits=(0, 4096), doc="width of a layer that blends the inputs; 0 for none"),
        dropout=dropout_knob("share of the joined vector dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, normalize: bool, projection: int, dropout: float) -> None:
        super().__init__()
        self.inputs = Inputs(widths, normalize=normalize)
        joined = sum(self.inputs.sizes)
        self.width = projection or joined
        self.blend: nn.Module = nn.Identity()
        if projection:
            self.blend = nn.Sequential(nn.Linear(joined, projection), nn.GELU())
        self.dropout = Dropout(dropout, (self.width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        parts = self.inputs(tokens, present)
        joined: Tensor = self.dropout(self.blend(torch.cat(parts, -1).squeeze(-2)))
        return joined
