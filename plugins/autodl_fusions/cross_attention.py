"""Tokens of all inputs attend to each other; a learned one gathers what matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Integer, Space
from autodl_fusions._attention import Block
from autodl_fusions._inputs import MOST_TOKENS, Inputs, dropout_knob, normalize_knob


class CrossAttention(Fusion):
    """A transformer over the tokens of all inputs and a learned one, which is what is returned.

    In the last block the learned token alone looks at the others. Each input's tokens pass a linear map whose bias says
    which input they are of; more than 64 are averaged down to 64. Each token of a missing input is a learned vector.

    Args:
        widths: Width of the tokens of each input.
        width: Width that tokens are brought to, and of the result.
        depth: Blocks of attention and perceptron.
        normalize: Whether each token passes a LayerNorm first, so that no input is louder than another.
        dropout: Probability that a hidden unit of a perceptron, or an entry of the result, is dropped in training.

    Reference:
        Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, arXiv 2106.11959,
        section 3.3 (a transformer over tokens of any origin, with a learned one that is read in the end).
        Jaegle, Gimeno, Brock, Zisserman, Vinyals, Carreira: Perceiver: General Perception with Iterative Attention,
        arXiv 2103.03206 (a learned query that attends to tokens of several modalities).
    """

    space: ClassVar[Space] = Space(
        width=Choice(32, 64, 128, limits=(4, 1024), default=64, doc="width that tokens are brought to"),
        depth=Integer(1, 3, default=1, limits=(1, 12), doc="blocks of attention and perceptron"),
        normalize=normalize_knob(default=True),
        dropout=dropout_knob("share of perceptrons' units and of the fused vector dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, width: int, depth: int, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.inputs = Inputs(widths, normalize=normalize, width=width, tokens=MOST_TOKENS)
        self.reader = nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.even = nn.LayerNorm(width)
        self.dropout = Dropout(dropout, (width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        parts = self.inputs(tokens, present)
        x = torch.cat((self.reader.expand_as(parts[0][:, :1]), *parts), 1)
        for number, block in enumerate(self.blocks, 1):
            x = block(x, count=1 if number == len(self.blocks) else x.shape[1])
        fused: Tensor = self.dropout(self.even(x.squeeze(1)))
        return fused
