"""Weighted sum of the vectors of a text's words and pairs of words; quick."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import gain, initialise
from autodl.encoders._settings import complete, dropout_knob
from autodl.encoders._tokens import Counts, Tokens, VectorCounts, is_text, narrow_tokens, pairs_knob, there
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space

SPREAD = 0.01
"""Tokens start near zero, as chance in the many that are rare would be learned by heart."""
LEAST = 1e-6


class TextBag(Encoder):
    """Sum of the vectors of tokens and pairs of neighbours, each counted as much as its token learned to count.

    The sum is divided by what was counted (the mean), or by the root of that, so that a text that says something more
    often says it louder, as in vectors of unit length. At first all count log 2.

    Shape:
        batch tokens entries → batch 1 width

    Reference:
        Joulin, Grave, Bojanowski, Mikolov: Bag of Tricks for Efficient Text Classification (fastText), arXiv
        1607.01759, section 2.
    """

    space: ClassVar[Space] = Space(
        width=Choice(8, 16, 32, 64, 128, doc="entries of a token's vector", default=16, limits=(1, 2048)),
        pairs=pairs_knob(64_000),
        pooling=Choice("root", "mean", doc="what the sum is divided by: the root of what was counted, or all of it"),
        dense_depth=Integer(0, 1, doc="dense layers after the sum", default=0, limits=(0, 4)),
        dropout=dropout_knob("share of the sum's entries, and of dense units, set to zero in training", default=0.2),
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
        self.width = chosen["width"]
        self.pooling = chosen["pooling"]
        self.tokens = Tokens(spec, chosen, SPREAD)
        self.counts = Counts(spec.vocabulary) if spec.vocabulary else VectorCounts(self.width)
        layers: list[nn.Module] = [Dropout(chosen["dropout"], (self.width,))]
        for _ in range(chosen["dense_depth"]):
            layers += [
                initialise(nn.Linear(self.width, self.width), gain("relu")),
                nn.ReLU(),
                Dropout(chosen["dropout"], (self.width,)),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens entries → batch 1 width."""
        vectors = self.tokens(x)
        counts = (self.counts(x, vectors) * there(x)).unsqueeze(1)
        counted = counts.sum(2).clamp(min=LEAST)
        mean = (counts @ vectors).squeeze(1) / (counted.sqrt() if self.pooling == "root" else counted)
        pooled: Tensor = self.layers(mean)
        return pooled.unsqueeze(1)
