"""Clouds of points: which rows are drawn, where they lie so that they do not hide one another, and their colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.report._cells import Coded
from autodl.report.style import CATEGORIES, LABEL, LOW_TO_HIGH, QUIET, escape, format_number, format_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_ROWS = 1000
"""Rows that a cloud is drawn of."""
BINS, CLOUD, SPACING = 80, 0.4, 0.06  # of one player's cloud: columns, half its height, and most between two points
STEPS = tuple(
    (edge / len(CATEGORIES), colour)
    for each, colour in enumerate(CATEGORIES)
    for edge in (each, each + 1)  # a step, not a slope
)
COLOURBAR = {
    "orientation": "h",
    "thickness": 8,
    "y": 0,
    "yref": "container",
    "yanchor": "bottom",
    "ypad": 6,
    "len": 0.9,
}
UNIT = 1000  # of a line in a cloud, so that its places are short integers
GOLDEN = 2.399963  # radians; multiples of it never repeat


def drawn_rows(rows: int, seed: int) -> Array:
    """All positions, or some by chance where there are many."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_ROWS])


def swarm(x: Array) -> Array:
    """How far each point is moved to the side, so that many alike make a wide place; the same each time."""
    span = float(np.ptp(x)) or 1.0
    bins = np.minimum(((x - x.min()) / span * BINS).astype(int), BINS - 1)
    order = np.argsort(bins, kind="stable")
    sizes = np.bincount(bins, minlength=BINS)
    rank = np.empty(len(x), dtype=int)
    rank[order] = np.arange(len(x)) - (np.cumsum(sizes) - sizes)[bins[order]]
    side = np.where(rank % 2 == 0, 1, -1) * ((rank + 1) // 2)
    return np.asarray(side * min(SPACING, CLOUD / max(1.0, sizes.max() / 2)))


def cloud(kind: str, points: Array, words: list[str]) -> go.Scattergl:
    """Points of one kind of player as one trace, few bytes a point.

    Args:
        kind: Of ``Coded``, or empty for points that have no value.
        points: x, y, colour (a code, or from 0 to 1), row and value. Shape: 5 points
        words: The values where they are no numbers.
    """
    x, y, shade, row, value = points
    told = {"number": "value %{customdata[1]:.5~g}<br>", "": ""}.get(kind, "value %{text}<br>")
    marker: dict[str, Any] = {"size": 5, "opacity": 0.85, "color": QUIET}
    if kind == "category":
        marker |= {"color": shade.astype(np.uint8), "colorscale": STEPS, "cmin": -0.5, "cmax": len(CATEGORIES) - 0.5}
    elif kind:
        marker |= {"color": np.round(shade * 254).astype(np.uint8), "coloraxis": "coloraxis"}
    return go.Scattergl(
        x=x.astype(np.float32),
        y=np.round(y * UNIT).astype(np.int16 if y.max() < 32 else np.int32),
        mode="markers",
        marker=marker,
        customdata=np.stack([row, value] if kind == "number" else [row], 1).astype(np.float32),
        text=words or None,
        hovertemplate="row %{customdata[0]}<br>" + told + "share %{x:.3~g}<extra></extra>",
        showlegend=False,
    )


def ranked_axis() -> dict[str, Any]:
    """The colours of ``cloud``'s numbers, from each column's least to its largest value."""
    bar = {**COLOURBAR, "tickvals": [0, 127, 254], "ticktext": ["low", "value", "high"]}
    return {"colorscale": LOW_TO_HIGH, "cmin": 0, "cmax": 254, "colorbar": bar}


def tinted(x: Array, y: Array, hover: list[str], tint: Coded | None, rows: Array) -> list[go.Scatter]:
    """Points in one colour, or in those of another column: a trace a category, or one by numbers.

    Args:
        x: Where they lie.
        y: Likewise.
        hover: A text a point.
        tint: The other column.
        rows: Which of its cells the points have.
    """
    if tint is None:
        return [_spots(x, y, hover, np.ones(len(x), dtype=bool), color=CATEGORIES[0], showlegend=False)]
    numbers = tint.numbers[rows]
    if tint.kind == "category":
        return [
            _spots(x, y, hover, numbers == code, color=CATEGORIES[code % len(CATEGORIES)], name=escape(label, 20))
            for code, label in enumerate(tint.labels)
            if (numbers == code).any()
        ]
    there = np.isfinite(numbers)
    found = [_spots(x, y, hover, there, color=numbers[there].astype(np.float64), showlegend=False)]
    found[0].marker.update(coloraxis="coloraxis")
    if not there.all():
        found.insert(0, _spots(x, y, hover, ~there, color=QUIET, name="missing"))
    return found


def tint_axis(name: str, tint: Coded) -> dict[str, Any]:
    """The colours of ``tinted``'s numbers; a few extreme ones do not take them all."""
    there = tint.numbers[np.isfinite(tint.numbers)]
    low, high = np.quantile(there, [0.02, 0.98]) if len(there) else (0.0, 1.0)
    high = high if high > low else low + 1
    words = [format_number(each) for each in (low, high)]
    if tint.kind == "date":
        words = [format_value(np.datetime64(int(each), "s"))[:10] for each in (low, high)]
    ticks = [words[0], escape(name, LABEL), words[1]]  # a title would lie over the bar
    bar = {**COLOURBAR, "tickvals": [low, (low + high) / 2, high], "ticktext": ticks}
    return {"colorscale": LOW_TO_HIGH, "cmin": low, "cmax": high, "colorbar": bar}


def spread(codes: Array) -> Array:
    """Codes of categories, each point a little to the side; the same each time."""
    return np.asarray(codes + 0.25 * np.sin(np.arange(len(codes)) * GOLDEN))


def named_lines(figure: go.Figure, names: list[str], unit: int = 1) -> None:
    """Names down the left side, the first at the top, so far apart."""
    figure.update_yaxes(
        range=[(len(names) - 0.45) * unit, -0.55 * unit],
        tickvals=np.arange(len(names)) * unit,
        ticktext=[escape(name, LABEL) for name in names],
        showgrid=False,
        fixedrange=True,
    )
    figure.update_layout(showlegend=False)


def spans(middle: Array, half: Array, places: Array) -> go.Scatter:
    """Intervals as thick lines, apart from the thin ones with caps."""
    return go.Scatter(
        x=middle,
        y=places,
        mode="markers",
        marker={"size": 1, "color": QUIET},
        error_x={"type": "data", "array": half, "thickness": 5, "width": 0, "color": "rgba(95,104,118,0.75)"},
        hoverinfo="skip",
        showlegend=False,
    )


def _spots(x: Array, y: Array, hover: list[str], chosen: Array, *, color: Any, **more: Any) -> go.Scatter:
    return go.Scatter(
        x=x[chosen],
        y=y[chosen].astype(np.float32),
        mode="markers",
        marker={"size": 6, "opacity": 0.8, "color": color},
        hovertext=[text for text, kept in zip(hover, chosen, strict=True) if kept],
        hoverinfo="text",
        **more,
    )
