"""A text whose words are coloured by what each brings: safe HTML, with the value under the mouse or the keyboard."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autodl.explaining.explanation import Explanation
from autodl.report._cells import checked, errors, local
from autodl.report._table import Cell, Heading, table
from autodl.report.style import clean, cut, format_number, format_signed

MOST_LETTERS = 12_000
"""Letters of one text that are shown."""
MOST_LEFT = 2_000
"""Letters that are shown of what was not looked at."""
LINES = 30
"""Words in the table of numbers."""
FAINT = 0.5  # per cent of the scale, below which a word is left as the paper is
UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f]")  # turn text around, or ring a bell


class Word(NamedTuple):
    """One piece of a text, and what it brings.

    Attributes:
        start: Where it begins in the text.
        end: Where what follows begins.
        value: Its share.
        error: Standard error of the share; None where there is none.
    """

    start: int
    end: int
    value: float
    error: float | None = None


def words_of(
    explanation: Explanation, row: int, text: str, pieces: Mapping[str, Sequence[tuple[int, int]]]
) -> list[Word]:
    """What each piece of one row's text brings; none where the text counts as one.

    Pieces that are one player, such as the parts of a word, or neighbours in a long text, become one where no letter
    lies between them.

    Args:
        explanation: Of a method that answers for every row.
        row: The row's position.
        text: The cell.
        pieces: View of the text → start and end of each of its tokens, in their order.
    """
    row, values, wrong = checked(explanation, row), local(explanation), errors(explanation)
    places = places_of(explanation, row, text, pieces)
    if not places:
        return _entries_of(explanation, row, pieces)
    return sorted(
        Word(start, end, float(values[row, owner]), None if wrong is None else float(wrong[row, owner]))
        for owner, parts in places.items()
        for start, end in parts
    )


def places_of(
    explanation: Explanation, row: int, text: str, pieces: Mapping[str, Sequence[tuple[int, int]]]
) -> dict[int, list[tuple[int, int]]]:
    """Player → where in a text it stands, in order; nothing where the text is not divided. As in ``words_of``."""
    players, found = explanation.question.players, dict[int, set[tuple[int, int]]]()
    if not players.own:
        return {}
    for key, tokens in pieces.items():
        owners = players.rows(key)[row].flatten(1)[: len(tokens), 0].tolist()
        for owner, (start, end) in zip(owners, tokens, strict=False):
            found.setdefault(owner, set()).add((start, end))
    return {owner: _joined(sorted(parts), text) for owner, parts in found.items()}


def _entries_of(explanation: Explanation, row: int, pieces: Mapping[str, Sequence[tuple[int, int]]]) -> list[Word]:
    """The same of methods that go down to single entries: tokens of the view that they say most of."""
    entries = explanation.attribution.entries or {}
    told = {key: entries[key][row].double().flatten(1).sum(1).tolist() for key in pieces if key in entries}
    if not told:
        return []
    key = max(told, key=lambda each: math.fsum(map(abs, told[each])))
    return [Word(start, end, value) for (start, end), value in zip(pieces[key], told[key], strict=False)]


def _joined(parts: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Pieces with no letter between them as one."""
    found = [parts[0]]
    for start, end in parts[1:]:
        if any(each.isalnum() for each in text[found[-1][1] : start]):
            found.append((start, end))
        else:
            found[-1] = found[-1][0], max(end, found[-1][1])
    return found


def highlighted(text: str, words: Sequence[Word], limit: float, *, title: str, what: str, note: str = "") -> str:
    """The text as HTML: each word on the colour of its share, what was not looked at in grey, the scale, the numbers.

    Args:
        text: The cell; whatever stands in it stays text.
        words: What its pieces bring; of those that overlap the first has the letters.
        limit: The share that has the full colour, whatever its sign.
        title: What stands above it.
        what: What the shares are shares in.
        note: Where the numbers come from.
    """
    told = _marked(text, words, limit)
    strongest = sorted(words, key=lambda each: -abs(each.value))[:LINES]
    said = ", ".join(f"“{cut(text[each.start : each.end])}” {_number(each)}" for each in strongest[:5] if each.value)
    name = html.escape(clean(title))
    parts = [
        f"<h3>{name}</h3>",
        f'<div class="words" role="group" aria-label="{name}"><p dir="auto">{told}</p></div>',
        '<p class="worth" role="status" aria-live="polite"></p>',
        scale(limit, what) if words else f"<p>{_ALIKE}</p>",
        f'<p class="note">{html.escape(f"Most of all: {clean(said)}. ") if said else ""}{html.escape(note)}</p>',
    ]
    if strongest:
        parts.append(f"<details><summary>The numbers</summary>{_numbers(text, strongest)}</details>")
    return "".join(parts)


_ALIKE = "The words are not told apart here: the text counts as one."


def scale(limit: float, what: str) -> str:
    """The colours with the shares that they stand for."""
    low, high = format_signed(-limit, 2), format_signed(limit, 2)
    said = f"share in {clean(what)}"
    return (
        f'<p class="scale"><span class="number">{low}</span><span class="ramp" role="img" aria-label="Colours: blue '
        f'lowers, down to {low}; orange raises, up to {high}"></span><span class="number">{high}</span>'
        f'<span>{html.escape(said)}; <span class="unread">grey: not looked at</span></span></p>'
    )


def _marked(text: str, words: Sequence[Word], limit: float) -> str:
    """The letters, each piece in a mark of its own; what lies between two pieces and is read as words is grey."""
    parts: list[str] = []
    place, room = 0, MOST_LETTERS
    inside = [each for each in sorted(words) if each.start < min(each.end, len(text))]
    for at, word in enumerate(inside):
        start, end = max(word.start, place), min(word.end, len(text))
        if start >= end:
            continue
        room -= end - start
        if room < 0:
            total = format_signed(math.fsum(each.value for each in inside[at:]))
            return "".join([*parts, _unread(f" … {len(text) - place:,} more letters, which bring {total} together")])
        parts += [_between(text[place:start], looked=not words), _mark(text[start:end], word, limit)]
        place = end
    return "".join([*parts, _between(text[place:], looked=not words)])


def _between(text: str, *, looked: bool) -> str:
    """Letters that are no piece: blanks and signs as they are, words grey, and not too many of either."""
    plain = looked or not any(each.isalnum() for each in text)
    most = MOST_LETTERS if plain else MOST_LEFT
    more = f" … {len(text) - most:,} more letters … " if len(text) > most else ""
    return _safe(text[:most]) + (_unread(more) if more else "") if plain else _unread(_safe(text[:most]) + more)


def _mark(text: str, word: Word, limit: float) -> str:
    share = min(100.0, 100 * abs(word.value) / limit) if limit > 0 and math.isfinite(word.value) else 0.0
    colour = f' style="--s:{share:.0f}"' if share >= FAINT else ""
    kind = ' class="low"' if word.value < 0 and colour else ""
    return f'<mark{kind}{colour} title="{html.escape(_number(word))}">{_safe(text)}</mark>'


def _unread(inside: str) -> str:
    return f'<span class="unread">{inside}</span>'


def _number(word: Word) -> str:
    return format_signed(word.value) + (f" ± {format_number(word.error, 2)}" if word.error else "")


def _numbers(text: str, words: Sequence[Word]) -> str:
    """The strongest words with their shares."""
    doubted = any(word.error is not None for word in words)
    headings = [Heading("word"), Heading("share", number=True)]
    headings += [Heading("standard error", number=True)] if doubted else []
    lines: list[list[Cell | str | float | None]] = [
        [cut(text[each.start : each.end], 40) or "(blank)", each.value, *([each.error] if doubted else [])]
        for each in words
    ]
    return table(headings, lines, f"The {len(lines)} words with the largest shares", sortable=True)


def _safe(text: str) -> str:
    """Letters as they are, line breaks kept; what would turn the text around or ring a bell is shown as unknown."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return html.escape(UNSEEN.sub("\N{REPLACEMENT CHARACTER}", plain))
