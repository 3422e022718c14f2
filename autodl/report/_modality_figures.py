"""Figures of what whole inputs bring: models beside each other, the way of the score, classes, pairs, missing cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from autodl.report._steps import Step, height_of, way
from autodl.report.style import (
    CATEGORIES,
    LABEL,
    LOWERS,
    QUIET,
    RAISES,
    cut,
    escape,
    finish,
    format_number,
    format_signed,
    legend_below,
)
from autodl.report.whole import square

LINE = 34  # pixels of a model
MOST_CLASSES = 30
"""Classes that are drawn."""
PARTS = {"test": (RAISES, "circle", -0.14), "validation": (LOWERS, "circle-open", 0.14)}
Interval = tuple[float, float, float]


def interval(told: Mapping[str, Any], part: str, metric: str) -> Interval | None:
    """Value, low and high of a model on a part; None where it has none."""
    found = (told.get(part) or {}).get(metric)
    if found is None or any(each is None or not np.isfinite(each) for each in found):
        return None
    value, low, high = map(float, found)
    return value, low, high


def written(found: Interval | None) -> str:
    """``0.91 (0.88 to 0.94)``."""
    if found is None:
        return "unknown"
    value, low, high = map(format_number, found)
    return f"{value} ({low} to {high})"


def compared(told: Sequence[Mapping[str, Any]], metric: str, better: bool) -> go.Figure:
    """Each model's score on test and validation rows with its interval, side by side."""
    figure = go.Figure()
    for part, (colour, symbol, aside) in PARTS.items():
        known = [(at, each, found) for at, each in enumerate(told) if (found := interval(each, part, metric))]
        if not known:
            continue
        value, low, high = np.array([found for *_, found in known]).T
        figure.add_scatter(
            x=value, y=[at + aside for at, *_ in known], mode="markers", name=part,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 2}},
            error_x={"symmetric": False, "array": high - value, "arrayminus": value - low, "color": colour},
            hovertext=[f"{escape(each['name'], 60)}<br>{part} {written(found)}" for _, each, found in known],
            hoverinfo="text",
        )  # fmt: skip
    names = [f"<b>{escape(each['name'], LABEL)}</b>" if _whole(each) else escape(each["name"], LABEL) for each in told]
    figure.update_yaxes(
        tickvals=list(range(len(told))),
        ticktext=names,
        range=[len(told) - 0.45, -0.55],
        showgrid=False,
        fixedrange=True,
    )
    figure.update_xaxes(title_text=f"{escape(metric)} ({'higher' if better else 'lower'} is better)")
    figure.update_layout(showlegend=True)
    said = ", ".join(f"{each['name']} {written(interval(each, 'test', metric))}" for each in told)
    about = (
        "Dots are scores, lines hold 95 % of what other rows of the same source might give. Each model was chosen by "
        "validation rows, so that its score there is a little too good; test rows were touched once."
    )
    height = legend_below(figure, LINE * len(told) + 24)
    return finish(figure, f"Each input alone, and together: {metric}", about, height, f"On test rows: {said}")


def shapley(told: Mapping[str, Any], metric: str, rows: int) -> go.Figure:
    """From the score without any input to that with all: what each brings."""
    ends, steps = told.get("intervals") or {}, []
    for name, value in sorted(told["values"].items(), key=lambda pair: -abs(pair[1] or 0.0)):
        low, high = ends.get(name) or (None, None)
        span = "" if low is None or high is None else f" ({format_signed(low)} to {format_signed(high)})"
        said = f"{escape(name, 80)}<br>{format_signed(value or 0.0, 4)}{span}"
        steps.append(Step(escape(name, LABEL), value or 0.0, 0.0, said))
    figure = way(float(told["empty"]), float(told["full"]), steps, ("no input", "no input"), ("all", "all inputs"))
    figure.update_xaxes(title_text=escape(metric))
    said = ", ".join(step.hover.replace("<br>", " ") for step in steps)
    about = (
        f"Shapley values of the score of {rows:,} test rows: the mean of what an input adds, over all orders in which "
        "the inputs could come. An input that is left out is replaced by what stands for a missing one. In brackets "
        "95 % intervals."
    )
    title = f"What each input brings to {metric}"
    alt = f"From {format_number(told['empty'])} without any input to {format_number(told['full'])} with all: {said}"
    return finish(figure, title, about, height_of(len(steps) + 2), alt)


def shares(told: Mapping[str, Mapping[str, float | None]], inputs: Sequence[str], rows: int) -> go.Figure:
    """For each class the parts that inputs have in the predictions of its rows."""
    classes = list(told)[:MOST_CLASSES]
    figure = go.Figure()
    for number, name in enumerate(inputs):
        part = [told[each].get(name) or 0.0 for each in classes]
        figure.add_bar(
            x=part, y=list(range(len(classes))), orientation="h", name=escape(name, 24), width=0.72,
            marker={"color": CATEGORIES[number % 8], "pattern_shape": ("", "/", "x")[number // 8 % 3]},
            hovertext=[f"{escape(label, 40)}<br>{escape(name, 40)} {part[at]:.1%}" for at, label in enumerate(classes)],
            hoverinfo="text",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(classes))),
        ticktext=[escape(each, LABEL) for each in classes],
        range=[len(classes) - 0.45, -0.55],
        showgrid=False,
        fixedrange=True,
    )
    figure.update_xaxes(tickformat=".0%", title_text="part in the predictions", range=[0, 1])
    figure.update_layout(barmode="stack", showlegend=True, legend={"traceorder": "normal"})
    most = "; ".join(
        f"{each}: most {top} {told[each].get(top) or 0.0:.0%}"
        for each in classes[:8]
        for top in [max(inputs, key=lambda name: told[each].get(name) or 0.0)]
    )
    left = f" The first {MOST_CLASSES} of {len(told)} classes." if len(told) > MOST_CLASSES else ""
    about = (
        f"Sizes of each input's Shapley values in the predictions of {rows:,} test rows, as parts of their sum: "
        f"whether an input speaks for a class or against it. Rows by their true class.{left}"
    )
    height = legend_below(figure, 26 * len(classes) + 20)
    return finish(figure, "Which input predictions rest on", about, height, f"By class: {most}")


def pairs(told: Sequence[Sequence[Any]], inputs: Sequence[str], metric: str) -> go.Figure:
    """What each two inputs do to the score beyond each alone."""
    place = {name: at for at, name in enumerate(inputs)}
    matrix = np.zeros((len(inputs), len(inputs)))
    for one, other, value in told:
        matrix[place[one], place[other]] = matrix[place[other], place[one]] = value or 0.0
    figure = square(matrix, list(inputs), signed=True, written=True)
    strongest = max(told, key=lambda each: abs(each[2] or 0.0))
    alt = f"The strongest pair is {strongest[0]} and {strongest[1]}: {format_signed(strongest[2] or 0.0)}"
    about = (
        f"Shapley interactions in {metric}: above nothing where two inputs tell together what neither tells alone, "
        "below where both tell the same."
    )
    return finish(figure, "What pairs of inputs do together", about, 140 + 40 * max(len(inputs), 4), alt)


def missing(told: Mapping[str, Any], metric: str) -> go.Figure:
    """The score as more and more cells are taken away, against that of a row with nothing in it."""
    known = [(share, *found) for share, found in zip(told["shares"], told["scores"], strict=True) if None not in found]
    share, value, low, high = np.array(known, np.float64).reshape(-1, 4).T
    figure = go.Figure(
        go.Scatter(
            x=np.concatenate([share, share[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", mode="lines",
            fillcolor="rgba(43,131,198,0.22)", line={"width": 0}, hoverinfo="skip", name="95 % interval",
        )
    )  # fmt: skip
    figure.add_scatter(x=share, y=value, mode="lines+markers", name=escape(metric, 24), line={"color": LOWERS})
    figure.data[-1].update(line_width=2.5, marker_size=8, hovertemplate="%{x:.0%} gone: %{y:.4~g}<extra></extra>")
    prior = told.get("prior")
    if prior is not None:
        line = {"color": QUIET, "dash": "dot", "width": 2}
        figure.add_scatter(x=[0, 1], y=[prior, prior], mode="lines", name="nothing known", line=line)
        figure.data[-1].update(hovertemplate="nothing known: %{y:.4~g}<extra></extra>")
    figure.update_xaxes(title_text="share of cells taken away", tickformat=".0%", range=[-0.02, 1.02])
    figure.update_yaxes(title_text=escape(metric))
    figure.update_layout(showlegend=True)
    said = ", ".join(f"{each:.0%} {format_number(score)}" for each, score in zip(share, value, strict=True))
    said += "" if prior is None else f"; nothing known {format_number(prior)}"
    rows = f" of {told['rows']:,} test rows" if told.get("rows") else " of test rows"
    about = f"Cells{rows} are taken away by chance, as they may be missing later; nothing is fitted again."
    title = f"When cells go missing: {cut(metric)}"
    return finish(figure, title, about, legend_below(figure, 260), f"{metric} by share of cells gone: {said}")


def _whole(told: Mapping[str, Any]) -> bool:
    return told.get("kind") in ("fused", "predictor")
