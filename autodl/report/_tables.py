"""Tables of the page on predictions: numbers behind figures, ways to another answer, training rows, measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autodl.explaining.explanation import Explanation
from autodl.report._cells import row_name
from autodl.report._pictures import data_uri
from autodl.report._table import Cell, Heading, table
from autodl.report.page import Fragment
from autodl.report.style import caption, cut, escape, format_value, quantity

if TYPE_CHECKING:
    from autodl.explaining.quality import Measure

TRAINING_ROWS, TRAINING_COLUMNS = 6, 5
"""Shown of the training rows that a prediction rests on."""
CELL = 120  # characters of a cell


def importance(explanation: Explanation) -> str:
    """Mean sizes over the rows, by player."""
    headings = [Heading("column"), Heading("mean size", number=True), Heading("standard error over rows", number=True)]
    frame = explanation.importance()
    lines: list[list[str | float]] = [
        [str(name), float(size), float(error)] for name, size, error in frame.itertuples()
    ]
    return table(headings, lines, f"Importance for {explanation.output}", sortable=True)


def measures(found: Sequence[Measure]) -> str:
    """Each measure of an explanation beside what a random one gets."""
    numbers = [Heading(name, number=True) for name in ("this one", "its standard error", "a random one")]
    headings = [Heading("measure"), *numbers, Heading("better is"), Heading("what it says", wide=True)]
    better = {True: "more", False: "less"}
    lines: list[list[str | float]] = [
        [each.name, each.value, each.error, each.random, better[each.greater_is_better], each.about] for each in found
    ]
    return table(headings, lines, "How good this explanation is, beside a random one")


def counterfactual(found: Explanation, place: int) -> Iterator[Fragment]:
    """What a row would have to be for another answer; nothing where words cannot tell it.

    Args:
        found: Of the explainer counterfactual.
        place: The row's place in it.
    """
    told = found.attribution.found
    if not bool(told["reached"][place]):
        yield Fragment('<p class="left-out">No training row shows a way to another answer.</p>', half=True)
        return
    donor, mine = found.background.iloc[int(told["donor"][place])], found.rows.iloc[place]
    names = [name for name, moved in zip(found.players, told["changed"][place].tolist(), strict=True) if moved]
    names = [name for name in names if name in found.rows.columns and not isinstance(donor[name], np.ndarray)]
    if not names:
        return
    after = float(told["outputs"][place, found.attribution.target])
    title = f"Row {row_name(found, place)}: the nearest change that takes {quantity(found)}"
    title += f" from {_number(found.predicted[place])} to {_number(after)}"
    lines = [[str(name), _cell(mine[name]), _cell(donor[name])] for name in names]
    yield _fragment(found, table([Heading("column"), Heading("is"), Heading("would be")], lines, title))


def influence(found: Explanation, place: int, order: Sequence[str]) -> Fragment:
    """The training rows that a prediction rests on most, with the cells that matter most for it.

    Args:
        found: Of the explainer influence; its background are the training rows.
        place: The row's place in it.
        order: Columns, those that matter most first.
    """
    scores = found.attribution.found["scores"][place].double().cpu().numpy()
    top = np.argsort(-np.abs(scores), kind="stable")[:TRAINING_ROWS]
    known = [name for name in order if name in found.rows.columns]
    names = [name for name in known if not _arrays(found.background[name])][:TRAINING_COLUMNS]
    most = float(np.abs(scores[top]).max()) or 1.0
    headings = [Heading("row"), Heading("pull", number=True), *(Heading(name) for name in names)]
    own = found.rows.iloc[place]
    lines: list[list[Cell | str]] = [["this row", "", *(_cell(own[name]) for name in names)]]
    for each in top:
        row = found.background.iloc[int(each)]
        pull = Cell(float(scores[each] / most), f"{scores[each] / most:+.0%}")
        lines.append([f"row {each}", pull, *(_cell(row[name]) for name in names)])
    title = f"Row {row_name(found, place)}: the training rows that pull {quantity(found)} most, up (+) or down (−)"
    pictures = {name: found.background[name] for name in known if any(map(_pictured, found.background[name]))}
    shown = "".join(_thumbnails(cells, top.tolist(), name) for name, cells in pictures.items())
    return _fragment(found, table(headings, lines, title) + shown)


def _thumbnails(cells: pd.Series, rows: Sequence[int], name: str) -> str:
    """Small pictures of some training rows, side by side."""
    shown = []
    for row in rows:
        cell = cells.iloc[int(row)]
        words = f"{escape(name)} of training row {row}"
        picture = f'<img alt="{words}" src="{data_uri(cell)}">' if _pictured(cell) else "missing"
        shown.append(f"<figure>{picture}<figcaption>row {row}</figcaption></figure>")
    return f'<div class="thumbnails">{"".join(shown)}</div>'


def _fragment(found: Explanation, html: str) -> Fragment:
    return Fragment(f'{html}<p class="note">{escape(caption(found))}</p>', half=True)


def _cell(value: Any) -> str:
    return cut(format_value(value), CELL)


def _arrays(cells: pd.Series) -> bool:
    return any(isinstance(cell, np.ndarray) for cell in cells)


def _pictured(cell: Any) -> bool:
    """Whether a cell is a picture: arrays of one axis are sounds."""
    return isinstance(cell, np.ndarray) and cell.ndim > 1


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
