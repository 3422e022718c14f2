"""Each input attends to itself and to a few shared tokens, where all meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Integer, Space
from autodl_fusions._attention import Block
from autodl_fusions._inputs import MOST_TOKENS, Inputs, dropout_knob, normalize_knob

LATENTS = 4
"""Shared tokens; the paper finds no gain in more."""


class Bottleneck(Fusion):
    """A transformer block for each input and round, over its own tokens and 4 shared ones.

    After each round the shared tokens are the mean of what the inputs made of them; in the end a layer blends them. So
    inputs meet in 4 tokens, and cost grows with their number, not with its square. More than 64 tokens of an input are
    averaged down to 64. Each token of a missing input is a learned vector.

    Args:
        widths: Width of the tokens of each input.
        width: Width that tokens are brought to, and of the result.
        depth: Rounds.
        normalize: Whether each token passes a LayerNorm first, so that no input is louder than another.
        dropout: Probability that a hidden unit of a perceptron, or an entry of the result, is dropped in training.

    Reference:
        Nagrani, Yang, Arnab, Jansen, Schmid, Sun: Attention Bottlenecks for Multimodal Fusion, arXiv 2107.00135,
        section 3 (there each modality has a classifier in the end; here a head follows, so shared tokens are blended).
    """

    space: ClassVar[Space] = Space(
        width=Choice(32, 64, 128, limits=(4, 1024), default=64, doc="width that tokens are brought to"),
        depth=Integer(1, 3, default=1, limits=(1, 12), doc="rounds of exchange"),
        normalize=normalize_knob(default=True),
        dropout=dropout_knob("share of perceptrons' units and of the fused vector dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, width: int, depth: int, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.inputs = Inputs(widths, normalize=normalize, width=width, tokens=MOST_TOKENS)
        self.shared = nn.Parameter(torch.randn(LATENTS * width))
        self.rounds = nn.ModuleList(_Round(len(widths), width, dropout) for _ in range(depth))
        self.blend = nn.Sequential(nn.LayerNorm(LATENTS * width), nn.Linear(LATENTS * width, width), nn.GELU())
        self.dropout = Dropout(dropout, (width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        streams = self.inputs(tokens, present)
        shared = self.shared.view(1, LATENTS, -1).expand(len(streams[0]), -1, -1)
        for number, exchange in enumerate(self.rounds, 1):
            shared, streams = exchange(shared, streams, last=number == len(self.rounds))
        fused: Tensor = self.dropout(self.blend(shared.flatten(1)))
        return fused


class _Round(nn.Module):
    """Each input's block over the shared tokens and its own; then the mean of what they made of the shared ones."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(inputs))

    def forward(self, shared: Tensor, streams: list[Tensor], last: bool) -> tuple[Tensor, list[Tensor]]:
        """Return the shared tokens and each input's own, of which none are left after the last round.

        Shape: batch latents width, [batch tokens width, …] → the same.
        """
        seen = [
            block(torch.cat((shared, stream), 1), count=LATENTS + (0 if last else stream.shape[1]))
            for block, stream in zip(self.blocks, streams, strict=True)
        ]
        return torch.stack([each[:, :LATENTS] for each in seen]).mean(0), [each[:, LATENTS:] for each in seen]
