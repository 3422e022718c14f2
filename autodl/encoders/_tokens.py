"""Tokens of texts: ids looked up in a table that is learned, or vectors mapped; a token that is not there is zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.encoders._activations import initialise
from autodl.encoders._settings import MOST_WEIGHTS, keep_options
from autodl.records import InputSpec
from autodl.space import Choice, Space

FIRST, SECOND = 1_000_003, 8_191
"""Primes that a pair's ids are multiplied with."""


def pairs_knob(default: int) -> Choice:
    """Return the choice of a table of pairs."""
    return Choice(
        *(0, 16_000, 64_000, 128_000),  # 64,000 of 16 entries, packed by eight, are a block that malloc keeps
        doc="vectors that pairs of neighbouring tokens share by a hash; 0 = no pairs",
        default=default,
        limits=(0, 1_000_000),
    )


def is_text(spec: InputSpec) -> bool:
    """Whether a row is tokens, as ids or as vectors."""
    return len(spec.shape) == 2 and spec.axes[0] == "token" and min(spec.shape) >= 1


def narrow_tokens(space: Space, spec: InputSpec) -> Space:
    """Return the space without tables of more than ``MOST_WEIGHTS``, and without pairs of what are no ids."""
    width = space["width"]
    assert isinstance(width, Choice)
    rows = spec.vocabulary or spec.shape[1]
    space = space.with_changes(width=keep_options(width, lambda size: rows * size <= MOST_WEIGHTS))
    return space if spec.vocabulary and spec.shape[0] > 1 else space.without("pairs")


def there(x: Tensor) -> Tensor:
    """Which tokens are there. Shape: batch tokens entries → batch tokens."""
    return x.ne(0).any(-1)


def look_up(table: Tensor, ids: Tensor) -> Tensor:
    """The table's rows of these ids. Shape: ids width, batch tokens → batch tokens width."""
    return functional.embedding(ids, table)


class Tokens(nn.Module):
    """Each token as a vector; one that is not there as zeros, whatever the weights.

    To the vector of an id comes that of the pair which it makes with the one before, where both are there. Pairs start
    at zero: most are seen once, and chance would stay in them.

    Args:
        spec: The input: ids are looked up, vectors mapped linearly.
        settings: Values of ``width`` and, where there may be pairs, ``pairs``.
        spread: Standard deviation of a table's first entries.

    Reference:
        Joulin, Grave, Bojanowski, Mikolov: Bag of Tricks for Efficient Text Classification (fastText), arXiv
        1607.01759, section 2, for pairs that share vectors by a hash.
    """

    def __init__(self, spec: InputSpec, settings: Mapping[str, Any], spread: float) -> None:
        super().__init__()
        width = settings["width"]
        self.embedding = self.pairs = None
        if spec.vocabulary:
            self.embedding = nn.Parameter(torch.randn(spec.vocabulary, width) * spread)
            rows = settings.get("pairs", 0) if spec.shape[0] > 1 else 0
            self.pairs = Pairs(rows, width) if rows else None
        else:
            self.projection = initialise(nn.Linear(spec.shape[1], width, bias=False))  # zeros stay zeros

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens entries → batch tokens width."""
        if self.embedding is None:
            mapped: Tensor = self.projection(x)
            return mapped
        ids = x[:, :, 0].long()
        vectors = look_up(self.embedding, ids) * ids.ne(0).unsqueeze(-1)
        return vectors if self.pairs is None else vectors + self.pairs(ids)


class Pairs(nn.Module):
    """For each id the vector of the pair that it makes with the one before; zeros where either is not there.

    Args:
        rows: Vectors that all pairs share.
        width: Entries of a vector.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(rows, width))

    def forward(self, ids: Tensor) -> Tensor:
        """Shape: batch tokens → batch tokens width."""
        before, here = ids[:, :-1], ids[:, 1:]
        vectors = look_up(self.embedding, (FIRST * before + SECOND * here) % len(self.embedding))
        both = before.ne(0) & here.ne(0)
        return functional.pad(vectors * both.unsqueeze(-1), (0, 0, 1, 0))


class Counts(nn.Module):
    """How much each id counts.

    Args:
        ids: How many there are.
    """

    def __init__(self, ids: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(ids))
        self.softplus = nn.Softplus()

    def forward(self, x: Tensor, vectors: Tensor) -> Tensor:
        """Shape: batch tokens 1, batch tokens width → batch tokens."""
        counts: Tensor = self.softplus(look_up(self.score.unsqueeze(1), x[:, :, 0].long()).squeeze(-1))
        return counts


class VectorCounts(nn.Module):
    """How much each vector counts.

    Args:
        width: Entries of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = initialise(nn.Linear(width, 1, bias=False))
        self.softplus = nn.Softplus()

    def forward(self, x: Tensor, vectors: Tensor) -> Tensor:
        """Shape: batch tokens entries, batch tokens width → batch tokens."""
        counts: Tensor = self.softplus(self.score(vectors).squeeze(-1))
        return counts
