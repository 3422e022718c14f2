"""Steps from one number to another, a bar a line: names on the left, bars between, numbers on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.report.style import BAR, LOWERS, QUIET, RAISES, format_number, format_signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Step:
    """One line of a figure of bars.

    Attributes:
        label: Its name, safe already.
        value: How long the bar is.
        error: Standard error of the value; 0 where there is none.
        hover: What is told of it, safe already.
        gap: Whether it is what nobody explains.
    """

    label: str
    value: float
    error: float
    hover: str
    gap: bool = False


def way(start: float, end: float, steps: Sequence[Step], first: tuple[str, str], last: tuple[str, str]) -> go.Figure:
    """The way from one number to another, each step beginning where the one above it ends.

    Args:
        start: Where it begins.
        end: Where it ends.
        steps: From the one to the other.
        first: What the beginning is called, and what is told of it; safe already.
        last: Likewise of the end.
    """
    starts = start + np.concatenate([[0.0], np.cumsum([step.value for step in steps])])
    figure = go.Figure(_bars(steps, starts[:-1], first=1))
    ends = np.array([start, end])
    figure.add_trace(_connectors(starts, len(steps)))
    figure.add_trace(_marks(ends, np.array([0, len(steps) + 1]), [first[1], last[1]]))
    labels = [first[0], *(step.label for step in steps), f"<b>{last[0]}</b>"]
    right = [format_number(start), *(format_signed(step.value) for step in steps), f"<b>{format_number(end)}</b>"]
    reach = np.array([step.error for step in steps])
    _lines(figure, labels, right, np.concatenate([starts[1:] - reach, starts[1:] + reach, ends]))
    return figure


def side_by_side(steps: Sequence[Step]) -> go.Figure:
    """Bars that all begin at 0."""
    figure = go.Figure(_bars(steps, np.zeros(len(steps)), first=0))
    ends = np.array([step.value for step in steps])
    reach = np.array([step.error for step in steps])
    right = [format_signed(step.value) for step in steps]
    _lines(figure, [step.label for step in steps], right, np.concatenate([ends - reach, ends + reach, [0.0]]))
    return figure.update_xaxes(zeroline=True)


def height_of(lines: int) -> int:
    """Pixels that so many lines and the axis below them need."""
    return BAR * lines + 56


def worded(value: float, error: float) -> str:
    """A share with its standard error, where it has one."""
    return format_signed(value, 4) + (f" ± {format_number(error, 2)} (standard error)" if error else "")


def _bars(steps: Sequence[Step], starts: Array, first: int) -> go.Bar:
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
