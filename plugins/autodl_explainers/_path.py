"""Integrated gradients where even steps miss: the way is cut finer where the output bends, row by row."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from autodl.attribution import Question
from autodl_explainers._gradients import ROUNDING, Column, frozen, leaves, rows_at_once, value_and_gradient

PIECES = 32
"""Into which the way is cut at first."""
SHARE = 0.5
"""Of what a row's pieces miss in all: those that make it up are cut at a time, the worst first."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of the ways of some rows.

    The gradient in a piece's middle stands for the piece; the output at both ends says by how much that misses.

    Attributes:
        row: Whose way it is; this and all others ``(pieces,)``.
        low: Where it begins, as a share of the way.
        high: Where it ends.
        at_low: The output at its beginning.
        at_high: The output at its end.
        at_middle: The output in its middle, once asked.
        missed: What its entries sum to, less by how much the output rises.
    """

    row: Tensor
    low: Tensor
    high: Tensor
    at_low: Tensor
    at_high: Tensor
    at_middle: Tensor
    missed: Tensor

    @classmethod
    def joined(cls, *parts: Pieces) -> Pieces:
        """Some and others."""
        return cls(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def at(self, some: Tensor | slice) -> Pieces:
        """Some of them."""
        return Pieces(*(getattr(self, each.name)[some] for each in fields(self)))

    def halved(self) -> Pieces:
        """Each cut in two, of which the ends are known already."""
        middle = (self.low + self.high) / 2
        first = Pieces(self.row, self.low, middle, self.at_low, self.at_middle, self.at_middle, self.missed)
        second = Pieces(self.row, middle, self.high, self.at_middle, self.at_high, self.at_middle, self.missed)
        return Pieces.joined(first, second)


def refined(question: Question, gap: float, most: int) -> tuple[dict[str, Tensor], Tensor, int]:
    """Entries, into how many pieces each row's way is cut, and how many rows went through the model.

    Args:
        question: About rows that need it.
        gap: Share of f(x) - f(baseline) that a row may miss.
        most: Gradients that a row may take until its pieces are found.
    """
    rows = len(question)
    with frozen(question):
        size = rows_at_once(question)
        pieces, allowed = _even(question, gap, size)
        taken = torch.full((rows,), PIECES, device=pieces.row.device)
        while True:
            misses = pieces.missed.new_zeros(rows).index_add_(0, pieces.row, pieces.missed)
            cut = _worst(pieces, (misses.abs() > allowed) & (taken + 2 <= most), (most - taken) // 2)
            if not cut.any():
                break
            taken += 2 * torch.bincount(pieces.row[cut], minlength=rows)
            pieces = Pieces.joined(pieces.at(~cut), _asked(question, pieces.at(cut).halved(), size))
        total = {name: torch.zeros_like(x) for name, x in question.inputs.items()}
        for start in range(0, len(pieces.row), size):
            some = pieces.at(slice(start, start + size))
            for name, each in _shares(question, some)[1].items():
                total[name].index_add_(0, some.row, each)
    count = torch.bincount(pieces.row, minlength=rows)
    return total, count, int(taken.sum() + count.sum()) + rows * (PIECES + 1)


def _even(question: Question, gap: float, size: int) -> tuple[Pieces, Tensor]:
    """The ways cut evenly, and what each row may miss. Shape of the latter: rows."""
    rows, device = len(question), next(iter(question.inputs.values())).device
    ends = torch.linspace(0, 1, PIECES + 1, dtype=torch.float64, device=device)
    numbers = torch.arange(rows, device=device)
    row, place = numbers.repeat(PIECES + 1), ends.repeat_interleave(rows)
    parts = []
    with torch.no_grad():
        for start in range(0, len(row), size):
            some = slice(start, start + size)
            parts.append(Column(question)(*_on_the_way(question, row[some], place[some]).values()))
    found = torch.cat(parts).view(PIECES + 1, rows)
    row = row[rows:]
    low, high = (each.repeat_interleave(rows) for each in (ends[:-1], ends[1:]))
    noise = ROUNDING * found.abs().amax(0)
    allowed = torch.maximum(gap / 2 * (found[-1] - found[0]).abs(), noise)
    at_low, at_high = found[:-1].flatten(), found[1:].flatten()
    return _asked(question, Pieces(row, low, high, at_low, at_high, at_low, at_low), size), allowed


def _worst(pieces: Pieces, wanting: Tensor, left: Tensor) -> Tensor:
    """Pieces that make up a share of what is missed in rows that want more, as far as steps are left.

    Shape: pieces, rows, rows → pieces.

    Reference:
        Dörfler: A Convergent Adaptive Algorithm for Poisson's Equation, SIAM J. Numer. Anal. 33 (1996), section 4.2.
    """
    order = pieces.missed.abs().argsort(descending=True)
    order = order[pieces.row[order].argsort(stable=True)]  # row by row, the worst first
    row, off = pieces.row[order], pieces.missed[order].abs().double()
    counts = torch.bincount(row, minlength=len(wanting))
    begin = counts.cumsum(0) - counts
    whole = torch.zeros(len(wanting), dtype=off.dtype, device=off.device).index_add_(0, row, off)
    before = off.cumsum(0) - off
    before = before - before[begin[row]]
    rank = torch.arange(len(order), device=off.device) - begin[row]
    worst = torch.empty_like(row, dtype=torch.bool)
    worst[order] = wanting[row] & (before < SHARE * whole[row]) & (rank < left[row])
    return worst


def _asked(question: Question, pieces: Pieces, size: int) -> Pieces:
    """The same, with what is found in their middles."""
    parts = []
    for start in range(0, len(pieces.row), size):
        some = pieces.at(slice(start, start + size))
        at_middle, shares = _shares(question, some)
        summed = torch.stack([each.flatten(1).sum(1) for each in shares.values()]).sum(0)
        missed = summed - (some.at_high - some.at_low)
        parts.append(Pieces(some.row, some.low, some.high, some.at_low, some.at_high, at_middle, missed))
    return Pieces.joined(*parts)


def _on_the_way(question: Question, row: Tensor, place: Tensor) -> dict[str, Tensor]:
    """Places on the ways of rows. Shape: pieces, pieces → {input: pieces *shape}."""
    starts = {name: question.baseline[name] for name in question.names}
    ways = {name: question.inputs[name][row] - start for name, start in starts.items()}
    return {name: start + _each(place, start) * ways[name] for name, start in starts.items()}


def _shares(question: Question, pieces: Pieces) -> tuple[Tensor, dict[str, Tensor]]:
    """The output in the middle of each piece, and what each entry adds over it. Shape: → pieces, pieces *shape."""
    middle, length = (pieces.low + pieces.high) / 2, pieces.high - pieces.low
    inputs = leaves(_on_the_way(question, pieces.row, middle), question.names)
    at_middle, slopes = value_and_gradient(Column(question), inputs)
    ways = [question.inputs[name][pieces.row] - question.baseline[name] for name in question.names]
    each = zip(question.names, slopes, ways, strict=True)
    return at_middle, {name: slope * way * _each(length, slope) for name, slope, way in each}


def _each(values: Tensor, like: Tensor) -> Tensor:
    """One number a piece, to be spread over its entries."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
