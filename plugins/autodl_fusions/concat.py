"""Each input's mean token side by side; a learned vector where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Float, Space


class Concat(Fusion):
    """The simplest fusion: each input speaks for itself, and what follows weighs them.

    Where an input is missing, a learned vector of its own stands in, in training and in prediction alike.

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
        normalize=Choice(False, True, doc="whether each input is brought to the same size before they are joined"),
        projection=Choice(0, 128, 256, limits=(0, 4096), doc="width of a layer that blends the inputs; 0 for none"),
        dropout=Float(
            0.0, 0.5, limits=(0.0, 0.95), default=0.0, per_member=True, doc="share of the joined vector dropped"
        ),
    )

    def __init__(self, widths: Mapping[str, int], *, normalize: bool, projection: int, dropout: float) -> None:
        super().__init__()
        self.names = tuple(sorted(widths))
        sizes = [widths[name] for name in self.names]
        self.norms = nn.ModuleList(
            nn.LayerNorm(size) if normalize and size > 1 else nn.Identity()  # of one number nothing would be left
            for size in sizes
        )
        self.missing = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)
        self.width = projection or sum(sizes)
        self.blend: nn.Module = nn.Identity()
        if projection:
            self.blend = nn.Sequential(nn.Linear(sum(sizes), projection), nn.GELU())
        self.dropout = Dropout(dropout, (self.width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        parts = [
            torch.where(present[name].unsqueeze(-1) > 0, norm(tokens[name].mean(-2)), missing)
            for name, norm, missing in zip(self.names, self.norms, self.missing, strict=True)
        ]
        joined: Tensor = self.dropout(self.blend(torch.cat(parts, -1)))
        return joined
