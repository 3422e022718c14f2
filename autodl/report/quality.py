"""Figures of how good an explanation is: its measures beside a random one's, curves of taking away, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report.rows import table
from autodl.report.style import CATEGORIES, QUIET, caption, escape, finish, format_number, legend_below, quantity
from autodl.report.whole import square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodl.explaining.quality import Measure

    Array = NDArray[Any]


def measures(explanation: Explanation, found: Sequence[Measure]) -> go.Figure:
    """What was measured, a line a measure, each beside what random values would get."""
    columns = [
        [each.name for each in found],
        [
            format_number(each.value) + (f" ± {format_number(each.error, 2)}" if _there(each.error) else "")
            for each in found
        ],
        [format_number(each.random) if _there(each.random) else "–" for each in found],
        [each.about for each in found],
    ]
    title = "How good this explanation is, beside a random one"
    told = ", ".join(
        f"{each.name} {format_number(each.value)} (random {columns[2][at]})" for at, each in enumerate(found)
    )
    return table(["measure", "this one", "random", "what it says"], columns, title, caption(explanation), told)


def deletion_curve(explanation: Explanation, share: Array, curves: Mapping[str, Array]) -> go.Figure:
    """The output as more and more is taken away, or put in, the most important first.

    Args:
        explanation: Whose order it is.
        share: From 0 to 1: how much is taken away. Shape: points
        curves: Output by what decides the order; names that begin with ``random`` are drawn quietly. Each of shape
            points, or rows points, of which the mean is drawn.
    """
    figure = go.Figure()
    loud = [name for name in curves if not name.startswith("random")]
    for name, curve in curves.items():
        mean = np.atleast_2d(np.asarray(curve)).mean(0)
        quiet = name not in loud
        colour = QUIET if quiet else CATEGORIES[(1, 0, 2, 3, 4, 5, 6)[loud.index(name) % 7]]
        figure.add_scatter(
            x=np.asarray(share, np.float32), y=mean.astype(np.float32), mode="lines", name=escape(name, 30)
        )
        figure.data[-1].update(line={"color": colour, "width": 2 if quiet else 3, "dash": "dot" if quiet else "solid"})
        figure.data[-1].update(hovertemplate="%{x:.0%}: %{y:.4~g}<extra></extra>")
    figure.update_xaxes(title_text="share taken away, or put in", tickformat=".0%", range=[0, 1], dtick=0.25)
    figure.update_yaxes(title_text=escape(quantity(explanation), 34))
    figure.update_layout(showlegend=True, hovermode="x")
    said = f"What taking players away does to {quantity(explanation)}"
    return finish(figure, said, caption(explanation), legend_below(figure, 280))


def deletion(explanation: Explanation, found: Sequence[Measure]) -> go.Figure:
    """The curves of deletion and insertion that were measured, each beside a random order's.

    Raises:
        ExplanationError: Neither was measured.
    """
    curves: dict[str, Array] = {}
    share = None
    for each in found:
        if each.name in ("deletion", "insertion") and each.curve is not None:
            share = each.curve["share"].numpy()
            curves[each.name] = each.curve["explanation"].numpy()
            curves[f"random {each.name}"] = each.curve["random"].numpy()
    if share is None:
        raise ExplanationError("curves must have been measured, however there are none; measure deletion or insertion")
    return deletion_curve(explanation, share, curves)


def agreement(names: Sequence[str], matrix: Array, about: str, what: str = "rank correlation") -> go.Figure:
    """How far methods agree, each pair. Shape of ``matrix``: names names"""
    picture = square(np.asarray(matrix), list(names), signed=True, written=True)
    picture.update_traces(zmin=-1, zmax=1)
    return finish(picture, f"Agreement between methods ({what})", about, 140 + 40 * max(len(names), 4))


def _there(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
