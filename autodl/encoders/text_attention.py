"""Transformer over a text's words, read by a token that looks at all of them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._attention import Block, waves
from autodl.encoders._settings import complete, dropout_knob
from autodl.encoders._tokens import Tokens, is_text, narrow_tokens, pairs_knob, there
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

SPREAD = 0.1
"""Of tokens and of the waves that tell their places, so that neither drowns the other."""
LONG = 128
"""Tokens beyond which two blocks, whose cost grows with the square, are too dear for a search."""


class TextAttention(Encoder):
    """Pre-norm blocks: in the last one the learned token, the only one read, looks at all; before, each at all others.

    The learned token is always there, so that a text without any other has an answer.

    Shape:
        batch tokens entries → batch 1 width

    Reference:
        Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, sections 3.2 and 3.5.
        Xiong et al.: On Layer Normalization in the Transformer Architecture, arXiv 2002.04745, for the norms' place.
    """

    space: ClassVar[Space] = Space(
        width=Choice(32, 64, 128, doc="entries of a token's vector", default=64, limits=(4, 1024)),
        depth=Integer(1, 3, doc="blocks; only the learned token looks in the last one", default=1, limits=(1, 12)),
        heads=Choice(2, 4, 8, doc="ways of looking in a block", default=4, limits=(1, 64)),
        places=Choice(True, False, doc="whether tokens know where they stand"),
        dropout=dropout_knob("share of what a block adds set to zero in training", default=0.2),
        token_dropout=dropout_knob("share of the entries of tokens' vectors set to zero in training", default=0.1),
        pairs=pairs_knob(0),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Texts."""
        return is_text(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """Fewer blocks on long texts."""
        depth = Integer(1, 3 if spec.shape[0] <= LONG else 2, doc=cls.space["depth"].doc, default=1, limits=(1, 12))
        return narrow_tokens(cls.space, spec).with_changes(depth=depth)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width = chosen["width"]
        heads = math.gcd(self.width, chosen["heads"])  # they share the width evenly
        self.tokens = Tokens(spec, chosen, SPREAD)
        self.places = chosen["places"]
        self.register_buffer("waves", SPREAD * waves(spec.shape[0], self.width), persistent=False)
        self.token_dropout = Dropout(chosen["token_dropout"], (1, self.width))
        self.reader = nn.Parameter(torch.randn(1, 1, self.width) * SPREAD)
        last = chosen["depth"] - 1
        self.blocks = nn.Sequential(
            *(Block(self.width, heads, chosen["dropout"], last=index == last) for index in range(chosen["depth"]))
        )
        self.norm = nn.LayerNorm(self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens entries → batch 1 width."""
        seen = there(x)
        tokens = self.tokens(x)
        tokens = self.token_dropout(tokens + self.get_buffer("waves") if self.places else tokens)
        tokens = torch.cat((self.reader.expand(len(x), -1, -1), tokens), dim=1)
        seen = torch.cat((torch.ones_like(seen[:, :1]), seen), dim=1)
        for block in self.blocks:
            tokens = block(tokens, seen)
        read: Tensor = self.norm(tokens)
        return read
