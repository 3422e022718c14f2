"""Figures of how good the predictions are: calibration, confusion, ROC, precision and recall, errors of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.report.style import AMOUNTS, CATEGORIES, QUIET, RAISES, escape, finish, format_number, legend_below

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

BINS, MOST_POINTS, MOST_CURVES = 10, 400, 8
NORMAL = 1.96  # half the width of a 95 % interval in standard errors
PLOT = 320  # pixels
SQUARE = {"scaleanchor": "x", "constrain": "domain"}


def reliability(probabilities: Array, hit: Array, about: str, what: str) -> go.Figure:
    """How often it happens against how likely it was said to be, with counts and 95 % intervals.

    Args:
        probabilities: What was said. Shape: rows
        hit: Whether it happened. Shape: rows
        about: The caption: which rows, predicted by what.
        what: What was said to be likely: ``left = yes``, or ``the most likely class``.

    Reference:
        Wilson: Probable inference, the law of succession, and statistical inference, JASA 22 (1927) (the interval).
    """
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    full = counts > 0
    said = np.bincount(place, probabilities, BINS)[full] / counts[full]
    share = np.bincount(place, hit.astype(float), BINS)[full] / counts[full]
    low, high = wilson(share, counts[full])
    off = float((np.abs(share - said) * counts[full]).sum() / max(len(hit), 1))
    edges = (np.arange(BINS) + 0.5) / BINS
    figure = go.Figure(go.Bar(x=edges, y=counts, width=0.9 / BINS, yaxis="y2", marker_color=QUIET, name="rows"))
    figure.update_traces(hovertemplate="%{y} rows<extra></extra>")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": QUIET, "dash": "dot"}, name="perfect")
    figure.add_scatter(x=said, y=share, mode="lines+markers", name="happened", marker_size=8, line_color=RAISES)
    figure.data[-1].update(error_y={"array": high - share, "arrayminus": share - low}, customdata=counts[full])
    figure.data[-1].update(hovertemplate="said %{x:.1%}<br>happened %{y:.1%}<br>%{customdata} rows<extra></extra>")
    figure.update_layout(
        xaxis={"title": {"text": "said to be likely"}, "range": [0, 1], "tickformat": ".0%", "anchor": "y2"},
        yaxis={"title": {"text": "happened"}, "range": [-0.02, 1.02], "tickformat": ".0%", "domain": [0.26, 1]},
        yaxis2={"title": {"text": "rows"}, "domain": [0, 0.2], "nticks": 3},
    )
    title = f"Calibration of {what}: {off:.1%} off on average"
    return finish(figure, title, about, legend_below(figure, PLOT + 60))


def wilson(share: Array, counts: Array) -> tuple[Array, Array]:
    """The ends of 95 % intervals of shares of so many rows."""
    squared = NORMAL**2 / counts
    middle = (share + squared / 2) / (1 + squared)
    half = NORMAL / (1 + squared) * np.sqrt(share * (1 - share) / counts + squared / (4 * counts))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def confusion(truth: Array, decided: Array, classes: Sequence[object], about: str) -> go.Figure:
    """True against decided classes: counts, coloured by the share of the true class's rows.

    Args:
        truth: Class positions. Shape: rows
        decided: Likewise.
        classes: Their names.
        about: The caption.
    """
    size = len(classes)
    counts = np.bincount(truth.astype(int) * size + decided.astype(int), minlength=size**2).reshape(size, size)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names, places = [escape(each, 14) for each in classes], np.arange(size)
    hover = [
        [f"true {names[i]}<br>said {names[j]}<br>{counts[i, j]} rows, {share[i, j]:.1%} of the class" for j in places]
        for i in places
    ]
    figure = go.Figure(go.Heatmap(z=share.astype(np.float32), hovertext=hover, hoverinfo="text", xgap=1, ygap=1))
    figure.update_traces(colorscale=AMOUNTS, zmin=0, zmax=1, colorbar={"thickness": 10, "tickformat": ".0%"})
    if size <= 12:
        words = [[f"{counts[i, j]}<br>{share[i, j]:.0%}" for j in places] for i in places]
        figure.update_traces(text=words, texttemplate="%{text}")
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False}
    figure.update_xaxes(title_text="said", **ticks)
    figure.update_yaxes(title_text="true", autorange="reversed", **ticks)
    right = float(np.trace(counts) / max(counts.sum(), 1))
    return finish(
        figure, f"Confusion: {right:.1%} of {counts.sum()} rows right", about, 130 + 44 * max(min(size, 14), 4)
    )


def roc(hit: Array, probabilities: Array, names: Sequence[object], about: str) -> go.Figure:
    """True against false positives at every threshold, a curve a class, with the area under it.

    Args:
        hit: Whether the row is of the class. Shape: rows classes
        probabilities: Of the class. Shape: rows classes
        names: Of the classes.
        about: The caption.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    figure = go.Figure(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": QUIET, "dash": "dot"}, name="chance")
    )
    for place in _curves(hit):
        false, true, _ = roc_curve(hit[:, place], probabilities[:, place])
        area = roc_auc_score(hit[:, place], probabilities[:, place])
        _curve(figure, false, true, f"{escape(names[place], 16)}: AUC {area:.3f}")
    figure.update_xaxes(title_text="false positives", range=[-0.01, 1.01], tickformat=".0%")
    figure.update_yaxes(title_text="true positives", range=[-0.01, 1.01], tickformat=".0%")
    return finish(figure, "ROC: true against false positives" + _few(hit), about, legend_below(figure, PLOT))


def precision_recall(hit: Array, probabilities: Array, names: Sequence[object], about: str) -> go.Figure:
    """How many of those said are right, against how many are found, at every threshold; with average precision.

    Args:
        hit: Whether the row is of the class. Shape: rows classes
        probabilities: Of the class. Shape: rows classes
        names: Of the classes.
        about: The caption.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = go.Figure()
    for place in _curves(hit):
        precision, recall, _ = precision_recall_curve(hit[:, place], probabilities[:, place])
        area = average_precision_score(hit[:, place], probabilities[:, place])
        rate = hit[:, place].mean()
        _curve(figure, recall, precision, f"{escape(names[place], 16)}: AP {area:.3f} ({rate:.0%} of rows)")
    figure.update_xaxes(title_text="found (recall)", range=[-0.01, 1.01], tickformat=".0%")
    figure.update_yaxes(title_text="right (precision)", range=[-0.01, 1.01], tickformat=".0%")
    figure.update_layout(showlegend=True)
    return finish(figure, "Precision against recall" + _few(hit), about, legend_below(figure, PLOT))


def predicted_and_true(truth: Array, predicted: Array, target: str, about: str) -> go.Figure:
    """Predicted against true numbers, a point a row, with the line on which all would lie.

    Args:
        truth: Shape: rows
        predicted: Likewise.
        target: What is predicted.
        about: The caption.
    """
    x, y = _thinned(truth, predicted)
    ends = np.array([min(truth.min(), predicted.min()), max(truth.max(), predicted.max())])
    figure = go.Figure(go.Scatter(x=ends, y=ends, mode="lines", line={"color": QUIET, "dash": "dot"}, hoverinfo="skip"))
    figure.add_scatter(x=x, y=y, mode="markers", marker={"size": 6, "opacity": 0.6, "color": CATEGORIES[0]})
    figure.data[-1].update(hovertemplate="true %{x:.5~g}<br>predicted %{y:.5~g}<extra></extra>")
    figure.update_xaxes(title_text=f"true {escape(target, 30)}")
    figure.update_yaxes(title_text=f"predicted {escape(target, 30)}")
    figure.update_layout(showlegend=False)
    spread = float(np.var(truth))
    fit = 1 - float(np.mean((truth - predicted) ** 2)) / spread if spread else float("nan")
    return finish(figure, f"{target}: predicted and true (R² {format_number(fit)})", about, PLOT + 46)


def residuals(truth: Array, predicted: Array, target: str, about: str) -> go.Figure:
    """How far off predictions are, and how often.

    Args:
        truth: Shape: rows
        predicted: Likewise.
        target: What is predicted.
        about: The caption.
    """
    off = predicted - truth
    counts, edges = np.histogram(off, bins=min(40, max(8, int(np.sqrt(len(off))))))
    figure = go.Figure(go.Bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges) * 0.96))
    figure.update_traces(marker_color=CATEGORIES[0], hovertemplate="off by %{x:.3~g}<br>%{y} rows<extra></extra>")
    figure.add_vline(x=0, line={"width": 1.5, "dash": "dot"})
    figure.update_xaxes(title_text=f"predicted less true {escape(target, 24)}")
    figure.update_yaxes(title_text="rows")
    middle, most = np.median(np.abs(off)), np.quantile(np.abs(off), 0.9)
    said = f"half of the rows within {format_number(middle)}, nine in ten within {format_number(most)}"
    return finish(figure, f"Errors of {target}: {said}", about, PLOT + 46)


def coverage(truth: Array, quantiles: Array, levels: Sequence[float], about: str) -> go.Figure:
    """How many true numbers lie below each predicted quantile, against how many should, with 95 % intervals.

    Args:
        truth: Shape: rows
        quantiles: What was predicted. Shape: rows levels
        levels: Which quantiles.
        about: The caption.
    """
    share = (truth[:, None] <= quantiles).mean(0)
    low, high = wilson(share, np.full(len(share), len(truth)))
    figure = go.Figure(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": QUIET, "dash": "dot"}, name="perfect")
    )
    figure.add_scatter(x=np.asarray(levels), y=share, mode="markers+lines", name="these rows", line_color=RAISES)
    figure.data[-1].update(error_y={"array": high - share, "arrayminus": share - low}, marker_size=8)
    figure.data[-1].update(hovertemplate="quantile %{x:.0%}<br>below it %{y:.1%}<extra></extra>")
    figure.update_xaxes(title_text="quantile", range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(title_text="true numbers below it", range=[-0.02, 1.02], tickformat=".0%")
    return finish(figure, "How often quantiles hold", about, legend_below(figure, PLOT))


def _curves(hit: Array) -> list[int]:
    """The most frequent classes that some rows are of and some are not: without either there is no curve."""
    shares = hit.mean(0)
    return [int(each) for each in np.argsort(-shares, kind="stable") if 0 < shares[each] < 1][:MOST_CURVES]


def _few(hit: Array) -> str:
    return f" (the {MOST_CURVES} most frequent of {hit.shape[1]} classes)" if hit.shape[1] > MOST_CURVES else ""


def _curve(figure: go.Figure, x: Array, y: Array, name: str) -> None:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int))
    colour = CATEGORIES[len([trace for trace in figure.data if trace.line.dash is None]) % len(CATEGORIES)]
    figure.add_scatter(x=x[keep].astype(np.float32), y=y[keep].astype(np.float32), mode="lines", name=name)
    figure.data[-1].update(line={"color": colour, "width": 2.5}, hovertemplate="%{x:.1%}, %{y:.1%}<extra></extra>")


def _thinned(*arrays: Array) -> list[Array]:
    """The same rows of each: all, or two thousand evenly spaced ones."""
    rows = np.unique(np.linspace(0, len(arrays[0]) - 1, min(len(arrays[0]), 2000)).astype(int))
    return [each[rows].astype(np.float32) for each in arrays]
