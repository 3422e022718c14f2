"""The outer product of small vectors: a weight of its own for each interaction."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.errors import SpaceError
from autodl.space import Choice, Space
from autodl_fusions._inputs import Inputs, dropout_knob, normalize_knob

MOST_ENTRIES = 5000
"""Width of the result, at most; each output has a weight for each entry."""


class TensorProduct(Fusion):
    """Each input becomes a small vector h; what is returned is the outer product of all [h; 1].

    With ``pairs`` the products of two inputs at a time stand side by side instead. Vectors are narrowed until the
    result has at most 5,000 entries: 16 numbers for up to 3 inputs in one product, 7 for 4, 1 for 8 to 12. Above 12
    inputs even one number each is too much for one product, and pairs are taken; they allow for 99 inputs.

    A missing input's vector is learned, zeros at first, which leave the products of the others.

    Args:
        widths: Width of the tokens of each input.
        width: Numbers that an input becomes, at most.
        order: Whether ``all`` inputs are multiplied together, or ``pairs`` of them.
        normalize: Whether each input's mean token passes a LayerNorm first, so that no input is louder than another.
        dropout: Probability that an entry of the result is dropped in training.

    Raises:
        SpaceError: There are too many inputs.

    Reference:
        Zadeh, Chen, Poria, Cambria, Morency: Tensor Fusion Network for Multimodal Sentiment Analysis,
        arXiv 1707.07250 (tensor fusion layer).
    """

    space: ClassVar[Space] = Space(
        width=Choice(4, 8, 16, limits=(1, 64), default=8, doc="numbers that an input becomes before the product"),
        order=Choice("all", "pairs", doc="how many inputs are multiplied together"),
        normalize=normalize_knob(default=True),
        dropout=dropout_knob("share of the product dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, width: int, order: str, normalize: bool, dropout: float) -> None:
        super().__init__()
        count = len(widths)
        self.pairs = order == "pairs" or entries(count, 1, pairs=False) > MOST_ENTRIES
        while width and entries(count, width, pairs=self.pairs) > MOST_ENTRIES:
            width -= 1
        if not width:
            raise SpaceError(
                f"tensor_product must have at most {MOST_ENTRIES} products, however {count} inputs make more even of "
                "pairs of single numbers; take another fusion, or fewer inputs"
            )
        self.width = entries(count, width, pairs=self.pairs)
        self.inputs = Inputs(widths, normalize=normalize, width=width)
        self.bend = nn.Tanh()
        self.dropout = Dropout(dropout, (self.width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        vectors = self.bend(torch.cat(self.inputs(tokens, present), -2)).unbind(-2)
        if self.pairs:
            products = [_outer(one, other) for one, other in combinations(vectors, 2)]
            fused = torch.cat((*vectors, *products), -1)
        else:
            fused = torch.ones_like(vectors[0][..., :1])
            for vector in vectors:
                fused = _outer(fused, torch.cat((vector, torch.ones_like(vector[..., :1])), -1))
        dropped: Tensor = self.dropout(fused)
        return dropped


def entries(count: int, width: int, *, pairs: bool) -> int:
    """How many numbers the products of so many vectors of this width have."""
    return int(count * width + count * (count - 1) // 2 * width**2 if pairs else (width + 1) ** count)


def _outer(one: Tensor, other: Tensor) -> Tensor:
    """Shape: batch left, batch right → batch (left right)."""
    return (one.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2)
