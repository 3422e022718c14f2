"""Filters over neighbouring words, each answering where it fits best."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._settings import complete, dropout_knob
from autodl.encoders._tokens import Tokens, is_text, narrow_tokens
from autodl.encoders._windows import BestWindow
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

SPREAD = 0.1
"""Filters fit what they multiply: from tokens nearer to zero they learn more slowly."""


class TextCnn(Encoder):
    """Filters over windows of a few sizes, the best window of each filter, ReLU, dropout.

    The window of nothing is among those that a filter chooses from, so that a text's answer does not hang on how far it
    is padded, and one without any token has an answer too.

    Shape:
        batch tokens entries → batch 1 filters of all sizes

    Reference:
        Kim: Convolutional Neural Networks for Sentence Classification, arXiv 1408.5882.
    """

    convolutional: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        width=Choice(32, 64, 128, doc="entries of a token's vector", default=128, limits=(1, 1024)),
        filters=Choice(32, 64, 128, doc="filters of each size", default=64, limits=(1, 1024)),
        smallest=Integer(1, 3, doc="tokens under the smallest filters", default=1, limits=(1, 8)),
        sizes=Integer(1, 3, doc="sizes of filters, each a token larger than the one before", default=3, limits=(1, 6)),
        dropout=dropout_knob("share of filters set to zero in training", default=0.3),
        token_dropout=dropout_knob("share of the entries of tokens' vectors set to zero in training", default=0.1),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Texts."""
        return is_text(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """As ``narrow_tokens``."""
        return narrow_tokens(cls.space, spec)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.tokens = Tokens(spec, chosen, SPREAD)
        self.token_dropout = Dropout(chosen["token_dropout"], (1, chosen["width"]))
        sizes = range(chosen["smallest"], chosen["smallest"] + chosen["sizes"])
        self.filters = nn.ModuleList(BestWindow(chosen["width"], chosen["filters"], size) for size in sizes)
        self.width = chosen["filters"] * len(sizes)
        self.layers = nn.Sequential(nn.ReLU(), Dropout(chosen["dropout"], (self.width,)))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens entries → batch 1 width."""
        vectors = self.token_dropout(self.tokens(x))
        best: Tensor = self.layers(torch.cat([part(vectors) for part in self.filters], dim=1))
        return best.unsqueeze(1)
