"""Figures about one row: what its prediction rests on, what would change it, and which training rows it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report._cells import cell, checked, errors, local, row_name
from autodl.report.style import (
    BAR,
    LOWERS,
    QUIET,
    RAISES,
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


@dataclass(frozen=True)
class _Bar:
    """One line of a figure of bars."""

    label: str
    value: float
    error: float
    hover: str
    gap: bool = False


def waterfall(explanation: Explanation, row: int, top: int = TOP) -> go.Figure:
    """The way from what is predicted of nothing known to what is predicted of the row, the largest steps first.

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
    steps = _steps(explanation, row, top)
    missed = end - start - sum(step.value for step in steps)
    if abs(missed) > NOISE * max(abs(end - start), 1e-12):
        steps.append(_Bar("not explained (gap)", missed, 0.0, "what the values miss", gap=True))
    starts = start + np.concatenate([[0.0], np.cumsum([step.value for step in steps])])
    figure = go.Figure(_bars(steps, starts[:-1], first=1))
    ends = np.array([start, end])
    places = np.array([0, len(steps) + 1])
    words = [f"nothing known: {escape(explanation.baseline_words)}", "prediction"]
    figure.add_trace(_connectors(starts, len(steps)))
    figure.add_trace(_marks(ends, places, words))
    labels = ["nothing known", *(step.label for step in steps), "<b>prediction</b>"]
    right = [format_number(start), *(format_signed(step.value) for step in steps), f"<b>{format_number(end)}</b>"]
    reach = np.array([step.error for step in steps])
    _lines(figure, labels, right, np.concatenate([starts[1:] - reach, starts[1:] + reach, ends]))
    figure.update_xaxes(title_text=escape(quantity(explanation), 34))
    said = f"Row {row_name(explanation, row)}: {quantity(explanation)} is {format_number(end)}"
    return finish(figure, said + _truth(explanation, row), caption(explanation), _height(labels), _alt(said, steps))


def bars(explanation: Explanation, row: int, top: int = TOP) -> go.Figure:
    """The shares of one row, the largest first; for every method that gives shares."""
    row = checked(explanation, row)
    steps = _steps(explanation, row, top)
    figure = go.Figure(_bars(steps, np.zeros(len(steps)), first=0))
    ends = np.array([step.value for step in steps])
    reach = np.array([step.error for step in steps])
    _lines(
        figure,
        [step.label for step in steps],
        [format_signed(step.value) for step in steps],
        np.concatenate([ends - reach, ends + reach, [0.0]]),
    )
    figure.update_xaxes(title_text="share", zeroline=True)
    said = f"Row {row_name(explanation, row)}: shares in {quantity(explanation)}"
    height = _height([step.label for step in steps])
    return finish(figure, said + _truth(explanation, row), caption(explanation), height, _alt(said, steps))


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


def _steps(explanation: Explanation, row: int, top: int) -> list[_Bar]:
    """The largest shares by name, the rest together. One that would be the only rest is named."""
    values, wrong = local(explanation)[row], errors(explanation)
    doubt = np.zeros(len(values)) if wrong is None else wrong[row]
    order = np.argsort(-np.abs(values), kind="stable")
    most = top if len(order) > top + 1 else len(order)
    found = []
    for each in order[:most]:
        name, written = explanation.players[each], cell(explanation, row, explanation.players[each])
        whole = escape(name, 80) if written is None else f"{escape(name, 80)} = {escape(written, 80)}"
        value, error = float(values[each]), float(doubt[each])
        found.append(_Bar(named(name, written), value, error, f"{whole}<br>{_number(value, error)}"))
    rest = order[most:]
    if len(rest):
        value, error = float(values[rest].sum()), float(np.sqrt((doubt[rest] ** 2).sum()))
        found.append(_Bar(f"{len(rest)} others", value, error, f"{len(rest)} others<br>{_number(value, error)}"))
    return found


def _number(value: float, error: float) -> str:
    return format_signed(value, 4) + (f" ± {format_number(error, 2)} (standard error)" if error else "")


def _bars(steps: list[_Bar], starts: Array, first: int) -> go.Bar:
    error = np.array([step.error for step in steps])
    return go.Bar(
        x=np.array([step.value for step in steps]),
        y=np.arange(first, first + len(steps)),
        base=starts,
        orientation="h",
        marker={
            "color": [QUIET if step.gap else RAISES if step.value > 0 else LOWERS for step in steps],
            "pattern": {"shape": ["/" if step.gap else "" for step in steps]},
        },
        error_x={"type": "data", "array": error} if error.any() else None,
        hovertext=[step.hover for step in steps],
        hoverinfo="text",
        width=0.68,
        showlegend=False,
    )


def _connectors(starts: Array, steps: int) -> go.Scatter:
    """From the end of one step down to the start of the next."""
    x = np.repeat(starts, 3)
    y = np.stack([np.arange(steps + 1), np.arange(1, steps + 2), np.full(steps + 1, np.nan)], 1).ravel()
    x[2::3] = np.nan
    return go.Scatter(x=x, y=y, mode="lines", line={"color": QUIET, "width": 1}, hoverinfo="skip", showlegend=False)


def _marks(x: Array, y: Array, words: list[str]) -> go.Scatter:
    marker = {"symbol": "diamond", "size": 11, "color": QUIET}
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, hovertext=words, hoverinfo="text", showlegend=False)


def _lines(figure: go.Figure, labels: list[str], right: list[str], reach: Array) -> None:
    """Names on the left, numbers on the right, and room for all that is drawn between them."""
    low, high = float(reach.min()), float(reach.max())
    room = 0.05 * (high - low) or 1.0
    places = np.arange(len(labels))
    figure.update_xaxes(range=[low - room, high + room])
    figure.update_yaxes(
        range=[len(labels) - 0.45, -0.55], tickvals=places, ticktext=labels, showgrid=False, fixedrange=True
    )
    for place, text in zip(places, right, strict=True):
        figure.add_annotation(x=1, xref="paper", xanchor="left", xshift=4, y=int(place), text=text, showarrow=False)
    figure.update_layout(margin={"r": 74}, showlegend=False)


def _height(labels: list[str]) -> int:
    return BAR * len(labels) + 56


def _truth(explanation: Explanation, row: int) -> str:
    """What is known to be true of the row, where anything is."""
    truth = explanation.true(row)
    if truth is None:
        return ""
    return f" (true: {truth if isinstance(truth, str) else format_number(truth, 4)})"


def _alt(said: str, steps: list[_Bar]) -> str:
    return f"{said}. " + ", ".join(step.hover.replace("<br>", " ") for step in steps[:5])
