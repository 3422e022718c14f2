"""Texts divided into words, the same ones for all views, however each of them cuts a text into tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from autodl.records import InputSpec

WORDS = 48
"""Words that a text is divided into at most; of longer texts neighbours go together, as many in each."""
LONGEST = 24
"""Characters of a word, above which it is divided: some scripts are written without spaces."""

Span: TypeAlias = tuple[int, int]
Pieces: TypeAlias = Callable[[str], Sequence[Span]]
"""A text → where in it each position of the tensor that holds a token starts and ends."""


def divided(
    specs: Mapping[str, InputSpec],
    inputs: Mapping[str, Tensor],
    cells: Sequence[object],
    pieces: Mapping[str, Pieces],
    count: int = WORDS,
) -> dict[str, Tensor]:
    """The word of every position, counted from 0, in all views of one text.

    A word is what stands between spaces, or, where that is long, what the first view makes one token; words that no
    view holds are passed over. Where a view does not tell its pieces, its first tokens belong to the first words of the
    first view's, and so on, in proportion. Positions without a token belong to the last word, which they make no
    difference to; all those of a missing text, or of one without words, to the first.

    Args:
        specs: What each view looks like.
        inputs: The rows, by view.
        cells: The texts.
        pieces: By view; those that do not tell are left out.
        count: Words a text at most.

    Shape:
        → {view: rows *shape}
    """
    found = {key: torch.zeros(len(inputs[key]), spec.shape[0], dtype=torch.int64) for key, spec in specs.items()}
    for row, cell in enumerate(cells):
        there = {key: _tokens(inputs[key][row]) for key in sorted(specs)}
        if not any(there.values()):
            continue
        spans = {key: pieces[key](str(cell)) for key in there if key in pieces} if isinstance(cell, str) else {}
        known = {key: list(spans[key]) for key, held in there.items() if held and len(spans.get(key, ())) > max(held)}
        words = _words(str(cell), known, there) if known else None
        for key, held in there.items():
            if held:
                place = _placed(held, known.get(key), words, there, count)
                found[key][row] = place[-1]
                found[key][row, held] = torch.tensor(place)
    return {
        key: each.view(*each.shape, *[1] * (len(specs[key].shape) - 1)).expand(-1, *specs[key].shape)
        for key, each in found.items()
    }


def _tokens(x: Tensor) -> list[int]:
    """Positions that hold a token; none of a missing text. Shape: tokens width."""
    flat = x.flatten(1)
    held: list[int] = ((flat != 0).any(1) & ~flat.isnan().any(1)).nonzero().flatten().tolist()
    return held


def _words(text: str, known: Mapping[str, Sequence[Span]], there: Mapping[str, Sequence[int]]) -> list[int]:
    """Where the words start that some view holds a token of."""
    first = next(iter(known))
    starts = []
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        starts.append(start)
        if end - start > LONGEST:
            starts += [at for at, _ in known[first] if start < at < end]
    starts = sorted(set(starts)) or [0]
    held = {_word(starts, spans[position]) for key, spans in known.items() for position in there[key]}
    return [starts[word] for word in sorted(held)]


def _word(starts: Sequence[int], span: Span) -> int:
    """The word that a piece lies in: the last one that starts before its last character is over."""
    return max(0, bisect_right(starts, max(span[0], span[1] - 1)) - 1)


def _placed(
    held: Sequence[int],
    spans: Sequence[Span] | None,
    words: Sequence[int] | None,
    there: Mapping[str, Sequence[int]],
    count: int,
) -> list[int]:
    """The word of each position that holds a token."""
    if spans is not None and words is not None:
        total, place = len(words), [_word(words, spans[position]) for position in held]
    else:
        total = len(words) if words is not None else len(next(each for each in there.values() if each))
        place = [number * total // len(held) for number in range(len(held))]
    runs = min(total, count)
    return [word * runs // total for word in place]
