"""What fusions have in common: inputs evened out, brought to one width, and a learned vector where one is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autodl.space import Choice, Float

MOST_TOKENS = 64
"""Tokens that attention sees of an input: neighbours are averaged where there are more, as its cost is their square."""
LEAST_NORMALIZED = 4
"""LayerNorm takes away level and size: of fewer numbers too little would be left."""


def normalize_knob(default: bool) -> Choice:
    """Return the choice of normalising inputs."""
    doc = "whether each input is brought to the same size before they are joined"
    return Choice(False, True, default=default, doc=doc)


def dropout_knob(doc: str, default: float = 0.0) -> Float:
    """Return the range of a dropout rate; ``doc`` says what is dropped."""
    return Float(0.0, 0.5, limits=(0.0, 0.95), default=default, per_member=True, doc=doc)


def norm(width: int, normalize: bool = True) -> nn.Module:
    """Return a LayerNorm where it is wanted and leaves something."""
    return nn.LayerNorm(width) if normalize and width >= LEAST_NORMALIZED else nn.Identity()


def pooled(tokens: Tensor, most: int) -> Tensor:
    """Average neighbours where there are more tokens than so many. Shape: batch tokens width → batch ≤most width."""
    if tokens.shape[-2] <= most:
        return tokens
    if most == 1:
        return tokens.mean(-2, keepdim=True)
    return nn.functional.adaptive_avg_pool1d(tokens.transpose(-2, -1), most).transpose(-2, -1)


class Inputs(nn.Module):
    """Each input's tokens, evened out and adapted; where it is missing, each is a learned vector of that input.

    The same vector serves in training and in prediction.

    Args:
        widths: Width of the tokens of each input.
        normalize: Whether tokens of at least 4 numbers pass a LayerNorm.
        width: Common width that a linear map of each input brings its tokens to; 0 for none.
        tokens: Most tokens of an input: 1 for their mean.

    Attributes:
        names: The inputs, sorted: the order of all that follows.
        sizes: Width of what is returned for each input.
        adapters: The linear maps, each with a bias, which tells inputs apart as an embedding of their kind would.
        missing: The learned vectors, zeros at first.

    Shape:
        {input: batch tokens width}, {input: batch} → batch tokens width, for each input
    """

    def __init__(self, widths: Mapping[str, int], *, normalize: bool, width: int = 0, tokens: int = 1) -> None:
        super().__init__()
        self.names = tuple(sorted(widths))
        self.tokens = tokens
        self.sizes = [width or widths[name] for name in self.names]
        self.norms = nn.ModuleList(norm(widths[name], normalize) for name in self.names)
        self.adapters = nn.ModuleList(nn.Linear(widths[name], width) if width else nn.Identity() for name in self.names)
        self.missing = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in self.sizes)

    def forward(self, tokens: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> list[Tensor]:
        """Shape: {input: batch tokens width}, {input: batch} → batch tokens width, for each input."""
        parts = zip(self.names, self.norms, self.adapters, self.missing, strict=True)
        return [
            torch.where(present[name].view(-1, 1, 1) > 0, adapt(even(pooled(tokens[name], self.tokens))), missing)
            for name, even, adapt, missing in parts
        ]
