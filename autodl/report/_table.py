"""Tables as HTML that anyone can read: a caption, real headings, numbers that sort by their full value."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Plain: TypeAlias = str | float | int | bool | None


@dataclass(frozen=True)
class Cell:
    """What stands in a table where the bare value would not do.

    Attributes:
        value: What the column is sorted by.
        text: What is read; the value in figures if empty.
        href: Where the cell leads within the page, without ``#``.
        share: Length of a bar behind the number, from 0 to 1; None for no bar.
    """

    value: Plain
    text: str = ""
    href: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Heading:
    """One column.

    Attributes:
        title: What stands over it.
        number: Whether it holds numbers, which stand to the right.
        wide: Whether it holds long text, which may break into lines.
        minor: Whether it is left out on paper, where there is less room.
    """

    title: str
    number: bool = False
    wide: bool = False
    minor: bool = False


def table(
    headings: Sequence[Heading],
    rows: Sequence[Sequence[Cell | Plain]],
    caption: str,
    *,
    sortable: bool = False,
    ids: Sequence[str] = (),
    marked: Collection[int] = (),
) -> str:
    """Return a table; the first cell of each row is its heading.

    Args:
        headings: One a column.
        rows: A cell a column; a number that is unknown is None.
        caption: What the table shows.
        sortable: Whether a press on a heading sorts.
        ids: An anchor a row; none if empty.
        marked: Positions of rows that stand out.
    """
    name = html.escape(caption)
    head = "".join(_heading(each, sortable) for each in headings)
    body = "".join(
        f"<tr{_attribute('id', ids[at] if ids else '')}{_attribute('class', 'marked' if at in marked else '')}>"
        + "".join(
            _cell(cell, heading, first=i == 0) for i, (heading, cell) in enumerate(zip(headings, row, strict=True))
        )
        + "</tr>\n"
        for at, row in enumerate(rows)
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table{kind}><caption>{name}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def figures(value: Plain) -> str:
    """A value as text: five significant figures, large numbers in groups of three, an em dash for what is unknown."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or 1e5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.5g}"


def _heading(heading: Heading, sortable: bool) -> str:
    title = html.escape(heading.title)
    inside = f'<button type="button">{title}</button>' if sortable else title
    return f'<th scope="col"{_attribute("class", _kind(heading))}>{inside}</th>'


def _cell(cell: Cell | Plain, heading: Heading, *, first: bool) -> str:
    whole = cell if isinstance(cell, Cell) else Cell(cell)
    text = html.escape(whole.text or figures(whole.value))
    if whole.href:
        text = f'<a href="#{html.escape(whole.href)}">{text}</a>'
    if whole.share is not None:
        text = f'<span class="bar" style="--share:{min(max(whole.share, 0.0), 1.0):.4f}">{text}</span>'
    said = ""
    if heading.number:
        known = isinstance(whole.value, int | float) and math.isfinite(whole.value)
        said = _attribute("data-value", repr(whole.value)) if known else ' data-value=""'
        said += _attribute("title", repr(whole.value)) if known and isinstance(whole.value, float) else ""
    tag = 'th scope="row"' if first else "td"
    return f"<{tag}{_attribute('class', _kind(heading))}{said}>{text}</{tag[:2]}>"


def _kind(heading: Heading) -> str:
    kinds = {"number": heading.number, "wide": heading.wide, "minor": heading.minor}
    return " ".join(name for name, holds in kinds.items() if holds)


def _attribute(name: str, value: str) -> str:
    return f' {name}="{html.escape(value)}"' if value else ""
