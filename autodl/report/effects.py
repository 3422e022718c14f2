"""Figures of partial dependence: what the prediction would be, were a column's value another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError, unknown_name
from autodl.explaining.explanation import Explanation
from autodl.report._cells import Coded, coded, column
from autodl.report.style import CATEGORIES, RAISES, SLANT, SLANTED, caption, escape, finish, legend_below, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_LINES = 60
"""Rows whose own curve is drawn."""
THIN = "rgba(138,145,156,0.35)"


def partial_dependence(explanation: Explanation, name: str) -> go.Figure:
    """The mean curve over rows, curves of single rows, the accumulated local effect, and where the data lie.

    Args:
        explanation: Of a method that gives curves.
        name: The column.

    Raises:
        ExplanationError: The method gives no curves.
        UnknownNameError: It gives none of this column.
    """
    curves = explanation.attribution.found.get("curves")
    if curves is None:
        raise ExplanationError(
            f"a curve must have been worked out, however {explanation.explainer} gives none; "
            "explain with partial_dependence"
        )
    if name not in curves:
        raise unknown_name("curve", name, curves)
    curve = {key: np.asarray(value) for key, value in curves[name].items() if value is not None}
    grid = _grid(explanation, name, curve)
    order = np.argsort(grid.numbers, kind="stable")[: int(np.isfinite(grid.numbers).sum())]
    figure, named = go.Figure(), grid.kind == "category"
    _draw(
        figure, grid.axis[order], {key: each[..., order] for key, each in curve.items() if each.ndim}, lines=not named
    )
    figure.update_xaxes(title_text=escape(name, 40))
    if named:
        words = [escape(each, 14) for each in grid.cells]
        figure.update_xaxes(tickvals=grid.numbers, ticktext=words, tickangle=SLANT, range=[-0.5, len(words) - 0.5])
    else:
        _rug(figure, explanation, name)
    figure.update_layout(yaxis={"title": {"text": escape(quantity(explanation), 34)}}, hovermode="closest")
    said = f"Partial dependence of {quantity(explanation)} on {name}"
    told = (
        f"{said}: from {curve['mean'].min():.3g} to {curve['mean'].max():.3g} on average over {len(curve['ice'])} rows"
    )
    return finish(figure, said, caption(explanation), legend_below(figure, 320, SLANTED if named else 0), told)


def _grid(explanation: Explanation, name: str, curve: dict[str, Array]) -> Coded:
    """The cells that the points of a curve were taken from, on a line where they rise by a number."""
    places = np.arange(len(curve["donors"]), dtype=np.float64)
    if name not in explanation.background.columns:
        return Coded("category", places, (), tuple(str(int(each) + 1) for each in places))
    cells = explanation.background[name].iloc[curve["donors"]]
    found = coded(cells)
    if bool(curve.get("ordered", True)) and found.kind != "category":
        return found
    return Coded("category", places, (), found.cells)


def _draw(figure: go.Figure, x: Array, curve: dict[str, Array], *, lines: bool) -> None:
    mode, single = "lines" if lines else "markers", curve["ice"]
    chosen = single[np.linspace(0, len(single) - 1, min(len(single), MOST_LINES)).astype(int)]
    gap = np.full((len(chosen), 1), np.nan)
    ways = np.concatenate([chosen, gap], 1).ravel().astype(np.float32)  # one trace: a hole between two rows
    along = np.tile(np.concatenate([x, x[-1:]]), len(chosen))
    figure.add_scatter(x=along, y=ways, mode=mode, line={"color": THIN, "width": 1}, hoverinfo="skip")
    figure.data[-1].update(name=f"single rows ({len(chosen)})", marker={"color": THIN, "size": 5})
    figure.add_scatter(x=x, y=curve["mean"].astype(np.float32), mode=mode, name="mean over rows")
    figure.data[-1].update(line={"color": RAISES, "width": 3}, marker={"color": RAISES, "size": 11})
    figure.data[-1].update(hovertemplate="%{x}<br>mean %{y:.4~g}<extra></extra>")
    if "ale" in curve and lines:
        # accumulated local effects have no level of their own: laid over the mean curve's
        ale = curve["ale"] + curve["mean"].mean() - curve["ale"].mean()
        figure.add_scatter(x=x, y=ale.astype(np.float32), mode="lines", name="accumulated local effect")
        figure.data[-1].update(line={"color": CATEGORIES[0], "width": 2.5, "dash": "dash"})
        figure.data[-1].update(hovertemplate="%{x}<br>accumulated %{y:.4~g}<extra></extra>")


def _rug(figure: go.Figure, explanation: Explanation, name: str) -> None:
    """A stroke for each background row, so that one sees where the curve rests on data."""
    there = column(explanation, name, background=True)
    if there is None:
        return
    figure.add_scatter(x=there.axis[np.isfinite(there.numbers)], yaxis="y2", mode="markers", hoverinfo="skip")
    strokes = figure.data[-1]
    strokes.update(y=np.zeros(len(strokes.x), dtype=np.uint8), name="background rows")
    strokes.update(marker={"symbol": "line-ns-open", "size": 8, "color": "rgba(138,145,156,0.8)"})
    figure.update_layout(
        xaxis={"anchor": "y2"},
        yaxis={"domain": [0.06, 1]},
        yaxis2={"domain": [0, 0.04], "showgrid": False, "showticklabels": False, "fixedrange": True, "range": [-1, 1]},
    )
