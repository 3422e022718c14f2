"""Linear maps of all inputs multiplied, and summed over a rank; cheap for many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Space
from autodl_fusions._inputs import Inputs, dropout_knob, normalize_knob


class LowRank(Fusion):
    """The outer product of all [input; 1], seen through a weight tensor of low rank, and so never built.

    The factors U [h; 1] start near 1, with a variance of 1 / inputs, so that a product of many neither explodes nor
    vanishes, and holds terms of every order; the result passes a LayerNorm. A missing input has a learned factor, 1 at
    first, as if it were left out.

    Args:
        widths: Width of the tokens of each input.
        width: Width of the result.
        rank: Products that are summed.
        normalize: Whether each input's mean token passes a LayerNorm first, so that no input is louder than another.
        dropout: Probability that an entry of the result is dropped in training.

    Reference:
        Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency: Efficient Low-rank Multimodal Fusion with
        Modality-Specific Factors, arXiv 1806.00064, section 3.2.
    """

    space: ClassVar[Space] = Space(
        width=Choice(32, 64, 128, limits=(4, 4096), default=64, doc="width of the fused vector"),
        rank=Choice(2, 4, 8, limits=(1, 64), default=4, doc="products of the inputs that are summed"),
        normalize=normalize_knob(default=True),
        dropout=dropout_knob("share of the fused vector dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, width: int, rank: int, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.inputs = Inputs(widths, normalize=normalize, width=rank * width)
        self.mix = nn.Parameter(torch.randn(rank) / math.sqrt(rank))
        self.even = nn.LayerNorm(width)
        self.dropout = Dropout(dropout, (width,))
        with torch.no_grad():
            for factor, missing in zip(self.inputs.adapters, self.inputs.missing, strict=True):
                assert isinstance(factor, nn.Linear)
                factor.weight.normal_(std=1 / math.sqrt(factor.in_features * len(widths)))
                factor.bias.fill_(1.0)
                missing.fill_(1.0)

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        first, *others = self.inputs(tokens, present)
        for other in others:
            first = first * other
        products = first.view(-1, len(self.mix), self.width)
        fused: Tensor = self.dropout(self.even(self.mix @ products))
        return fused
