"""Figures about one row: what its prediction rests on, what would change it, and which training rows it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report._cells import cell, checked, errors, local, row_name
from autodl.report._steps import Step, height_of, side_by_side, way, worded
from autodl.report.style import (
    caption,
    cut,
    escape,
    finish,
    format_number,
    format_signed,
    format_value,
    named,
    quantity,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

TOP = 12
"""Players that are shown by name."""
MOST_COLUMNS = 4
"""Columns of training rows that are shown."""
NOISE = 1e-3
"""Share of what is to be explained below which a gap is not drawn."""
WIDEST_CELL, TABLE_WIDTH, TABLE_LINE = 22, 42, 17  # characters of a cell, of a narrow table; pixels of a line


def waterfall(
    explanation: Explanation, row: int, top: int = TOP, written: Mapping[str, str] | None = None
) -> go.Figure:
    """The way from what is predicted of nothing known to what is predicted of the row, the largest steps first.

    Args:
        explanation: Of a method whose values sum to the prediction.
        row: The row's position.
        top: Players that are shown by name.
        written: Player → what is written beside it, where that is not a cell, such as a word.

    Raises:
        ExplanationError: The method's values do not sum to the prediction.
    """
    row = checked(explanation, row)
    if explanation.attribution.completeness_gap is None:
        raise ExplanationError(
            f"a waterfall must have values that sum to the prediction, however {explanation.explainer} does not "
            "promise that; take bars, or explain with shapley"
        )
    start, end = _ends(explanation, row)
    steps = _steps(explanation, row, top, written or {})
    missed = end - start - sum(step.value for step in steps)
    if abs(missed) > NOISE * max(abs(end - start), 1e-12):
        steps.append(Step("not explained (gap)", missed, 0.0, "what the values miss", gap=True))
    known = f"nothing known: {escape(explanation.baseline_words)}"
    figure = way(start, end, steps, ("nothing known", known), ("prediction", "prediction"))
    figure.update_xaxes(title_text=escape(quantity(explanation), 34))
    said = f"Row {row_name(explanation, row)}: {quantity(explanation)} is {format_number(end)}"
    return finish(
        figure, said + _truth(explanation, row), caption(explanation), height_of(len(steps) + 2), _alt(said, steps)
    )


def bars(explanation: Explanation, row: int, top: int = TOP, written: Mapping[str, str] | None = None) -> go.Figure:
    """The shares of one row, the largest first; for every method that gives shares. Arguments as in ``waterfall``."""
    row = checked(explanation, row)
    steps = _steps(explanation, row, top, written or {})
    figure = side_by_side(steps)
    figure.update_xaxes(title_text="share")
    said = f"Row {row_name(explanation, row)}: shares in {quantity(explanation)}"
    height = height_of(len(steps))
    return finish(figure, said + _truth(explanation, row), caption(explanation), height, _alt(said, steps))


def inputs(explanation: Explanation, row: int, groups: Mapping[str, Sequence[int]]) -> go.Figure:
    """A row's inputs side by side: the sum of what each one's players share, in the figure's own unit.

    Args:
        explanation: Of a method that answers for every row.
        row: The row's position.
        groups: Input → positions of its players.
    """
    row = checked(explanation, row)
    values, wrong = local(explanation)[row], errors(explanation)
    doubt = np.zeros(len(values)) if wrong is None else wrong[row]
    steps = []
    for name, players in sorted(groups.items(), key=lambda pair: -abs(values[list(pair[1])].sum())):
        members = list(players)
        value, error = float(values[members].sum()), float(np.sqrt((doubt[members] ** 2).sum()))
        parts = f"{len(members)} part{'s' if len(members) != 1 else ''}"
        steps.append(Step(named(name), value, error, f"{escape(name, 80)} ({parts})<br>{worded(value, error)}"))
    figure = side_by_side(steps)
    figure.update_xaxes(title_text=f"share in {escape(quantity(explanation), 34)}")
    said = f"Row {row_name(explanation, row)}: what each input brings to {quantity(explanation)}"
    about = "The sum of the shares of each input's parts, which the figures below tell apart in the same unit. "
    about += "Errors are put together as if each part had its own. " if doubt.any() else ""
    return finish(figure, said, about + caption(explanation), height_of(len(steps)), _alt(said, steps))


def counterfactual(explanation: Explanation, row: int, changed: pd.DataFrame | None = None) -> go.Figure:
    """What would have to be different for another prediction: a column a line, from what it is to what it would be.

    Args:
        explanation: Of the counterfactual explainer.
        row: The row's position.
        changed: One line with the columns that are shown, as they would be; None for all that change.

    Raises:
        ExplanationError: The explanation is no counterfactual one, or found none for this row.
    """
    row, found = checked(explanation, row), _sought(explanation, "donor", "counterfactual")
    donor, players = int(found["donor"][row]), np.flatnonzero(np.asarray(found["changed"][row].cpu()))
    if donor < 0:
        raise ExplanationError(
            f"row {row} must have a counterfactual, however none was found; take another row, or more candidates"
        )
    names = [explanation.players[each] for each in players] if changed is None else list(changed.columns)
    here, there = explanation.rows, explanation.background.iloc[[donor]] if changed is None else changed
    before = [format_value(here[name].iloc[row]) if name in here.columns else "own" for name in names]
    after = [format_value(there[name].iloc[0]) if name in there.columns else "another row's" for name in names]
    start, end = _ends(explanation, row)[1], float(found["outputs"][row, explanation.attribution.target])
    said = f"Row {row_name(explanation, row)}: what would take {quantity(explanation)} from {format_number(start)}"
    said += f" to {format_number(end)}"
    told = "; ".join(f"{name} from {old} to {new}" for name, old, new in zip(names, before, after, strict=True))
    columns = [[cut(each) for each in words] for words in (names, before, after)]
    return table(["column", "is", "would be"], columns, said, caption(explanation), f"{said}: {told}")


def influence(
    explanation: Explanation,
    row: int,
    scores: Array | None = None,
    training: pd.DataFrame | None = None,
    top: int = 6,
) -> go.Figure:
    """The training rows that speak most for (+) and against (-) the prediction, with their cells.

    Args:
        explanation: Of the influence explainer.
        row: The row's position.
        scores: One a training row; None for those that were found.
        training: The training rows; None for the explanation's background.
        top: Rows shown.

    Raises:
        ExplanationError: The explanation is none of influence.
    """
    row = checked(explanation, row)
    if scores is None:
        scores = np.asarray(_sought(explanation, "scores", "influence")["scores"][row].cpu(), dtype=np.float64)
    training = explanation.background if training is None else training
    order = np.argsort(-np.abs(scores), kind="stable")[:top]
    names = [name for name in training.columns if not any(isinstance(each, np.ndarray) for each in training[name])]
    names = names[:MOST_COLUMNS]
    columns = [[str(training.index[each]) for each in order], [format_signed(float(scores[each])) for each in order]]
    columns += [[format_value(training[name].iloc[each]) for each in order] for name in names]
    own = ["this row", "", *(cell(explanation, row, name) or "" for name in names)]
    columns = [[cut(each) for each in (mine, *rest)] for mine, rest in zip(own, columns, strict=True)]
    said = f"Row {row_name(explanation, row)}: the training rows that moved {quantity(explanation)} most"
    return table(["row", "influence", *names], columns, said, caption(explanation))


def _sought(explanation: Explanation, name: str, explainer: str) -> Mapping[str, Any]:
    """What a method found, if it is the one."""
    found = explanation.attribution.found
    if name not in found:
        raise ExplanationError(
            f"this figure must be of what {explainer} finds, however {explanation.explainer} was asked; "
            f"explain with {explainer}"
        )
    return found


def table(header: list[str], columns: list[list[str]], title: str, about: str, alt: str = "") -> go.Figure:
    """A table as a figure; its words may come from the data."""
    longest = [max(len(each) for each in (name, *cells)) for name, cells in zip(header, columns, strict=True)]
    widths = [min(max(each, 8), WIDEST_CELL) + 2 for each in longest]
    fits = [max(4, TABLE_WIDTH * width // sum(widths)) for width in widths]  # characters on a narrow screen
    lines = [
        max(-(-len(each) // most) for each, most in zip(line, fits, strict=True)) for line in zip(*columns, strict=True)
    ]
    figure = go.Figure(
        go.Table(
            header={"values": [f"<b>{escape(name, WIDEST_CELL)}</b>" for name in header], "align": "left"},
            cells={"values": [[escape(each) for each in cells] for cells in columns], "align": "left", "height": 24},
            columnwidth=widths,
        )
    )
    figure.update_layout(margin={"b": 8})
    tall = 80 + sum(8 + TABLE_LINE * max(each, 1) for each in lines)
    finish(figure, title, about, tall, alt)
    return figure.update_layout(meta={**figure.layout.meta, "least_width": 7 * sum(widths) + 16 * len(widths)})


def _ends(explanation: Explanation, row: int) -> tuple[float, float]:
    told = explanation.attribution
    assert told.output is not None
    base = told.base.double().reshape(-1)
    return float(base[row if len(base) > 1 else 0]), float(told.output[row])


def _steps(explanation: Explanation, row: int, top: int, told: Mapping[str, str]) -> list[Step]:
    """The largest shares by name, the rest together. One that would be the only rest is named."""
    values, wrong = local(explanation)[row], errors(explanation)
    doubt = np.zeros(len(values)) if wrong is None else wrong[row]
    order = np.argsort(-np.abs(values), kind="stable")
    most = top if len(order) > top + 1 else len(order)
    found = []
    for each in order[:most]:
        name = explanation.players[each]
        written = told.get(name, cell(explanation, row, name))
        whole = escape(name, 80) if written is None else f"{escape(name, 80)} = {escape(written, 80)}"
        value, error = float(values[each]), float(doubt[each])
        found.append(Step(named(name, written), value, error, f"{whole}<br>{worded(value, error)}"))
    rest = order[most:]
    if len(rest):
        value, error = float(values[rest].sum()), float(np.sqrt((doubt[rest] ** 2).sum()))
        found.append(Step(f"{len(rest)} others", value, error, f"{len(rest)} others<br>{worded(value, error)}"))
    return found


def _truth(explanation: Explanation, row: int) -> str:
    """What is known to be true of the row, where anything is."""
    truth = explanation.true(row)
    if truth is None:
        return ""
    return f" (true: {truth if isinstance(truth, str) else format_number(truth, 4)})"


def _alt(said: str, steps: list[Step]) -> str:
    return f"{said}. " + ", ".join(step.hover.replace("<br>", " ") for step in steps[:5])
