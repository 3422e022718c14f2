"""Figures over all rows: which columns count, in which direction, and which of them work together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report._cells import checked, column, errors, local, player, row_name, shares
from autodl.report._points import (
    UNIT,
    cloud,
    drawn_rows,
    named_lines,
    ranked_axis,
    spans,
    spread,
    swarm,
    tint_axis,
    tinted,
)
from autodl.report.style import (
    AMOUNTS,
    BAR,
    CATEGORIES,
    RAISES,
    SIGNED,
    SLANT,
    SLANTED,
    caption,
    escape,
    finish,
    format_number,
    legend_below,
    named,
    quantity,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TOP = 20
"""Players that are shown."""
NORMAL = 1.96  # half the width of a 95 % interval in standard errors
DEEP, WORD = 34, 14  # pixels of a player's cloud, characters of a category in it
WINDOWS, FEWEST = 10, 20  # windows of rows in which a partner is looked for, rows in the smallest


def importance(explanation: Explanation, top: int = TOP) -> go.Figure:
    """Mean size of every player's shares, with a 95 % interval over rows; of a global method its own figures.

    The thick line is the interval: what other rows of the same source might give. The thin one with caps is the
    standard error of estimating the shares of these rows, where they are estimated; its mean over rows, as errors of
    rows that share their samples do not cancel.
    """
    values, wrong = shares(explanation), errors(explanation)
    each_row = len(values) == len(explanation.question) and len(values) > 1
    height = np.abs(values).mean(0) if each_row else values[0]
    order = np.argsort(-np.abs(height), kind="stable")[:top]
    doubt = np.zeros(len(height)) if wrong is None else wrong.mean(0)
    spread = NORMAL * np.abs(values).std(0, ddof=1) / np.sqrt(len(values)) if each_row else np.zeros(len(height))
    places = np.arange(len(order))
    hover = [
        f"{escape(explanation.players[each], 80)}<br>{format_number(height[each], 4)}"
        + (f"<br>95 % interval over rows ± {format_number(spread[each], 2)}" if each_row else "")
        + (f"<br>standard error of estimating ± {format_number(doubt[each], 2)}" if doubt[each] else "")
        for each in order
    ]
    figure = go.Figure(
        go.Bar(x=height[order], y=places, orientation="h", width=0.66, marker_color=RAISES, hovertext=hover)
    )
    figure.update_traces(hoverinfo="text", error_x={"array": doubt[order]} if doubt.any() else None)
    if each_row:
        figure.add_trace(spans(height[order], spread[order], places))
    named_lines(figure, [explanation.players[each] for each in order])
    figure.update_xaxes(title_text="mean |share|" if each_row else "share")
    what = f"Which players count in {quantity(explanation)}"
    told = ", ".join(f"{explanation.players[each]} {format_number(height[each])}" for each in order[:8])
    count = f" (mean of {len(values)} rows)" if each_row else ""
    return finish(figure, what + count, caption(explanation), BAR * len(order) + 60, f"{what}: {told}")


def beeswarm(explanation: Explanation, top: int = TOP) -> go.Figure:
    """Every row's share of every player: a point a row, coloured by the player's value in that row."""
    values = local(explanation)
    drawn = drawn_rows(len(values), explanation.question.seed)
    order = np.argsort(-np.abs(values).mean(0), kind="stable")[:top]
    clouds: dict[str, list[Array]] = {}
    words: dict[str, list[str]] = {}
    for place, each in enumerate(order):
        found = column(explanation, explanation.players[each])
        lost = np.full(len(values), np.nan)
        shade = lost if found is None else found.numbers if found.kind == "category" else found.ranks
        raw = lost if found is None else found.numbers
        x = values[:, each][drawn]
        points = np.stack([x, place + swarm(x), shade[drawn], drawn, raw[drawn]])
        gone = np.isnan(points[2])
        for kind, chosen in (("", gone), (found.kind if found else "", ~gone)):
            if chosen.any():
                clouds.setdefault(kind, []).append(points[:, chosen])
            if found is not None and kind in ("category", "date"):
                words.setdefault(kind, []).extend(escape(found.cells[at], WORD) for at in drawn[chosen])
    figure = go.Figure([cloud(kind, np.concatenate(each, 1), words.get(kind, [])) for kind, each in clouds.items()])
    named_lines(figure, [explanation.players[each] for each in order], UNIT)
    figure.update_xaxes(title_text="share", zeroline=True)
    ranked = bool({"number", "date"} & set(clouds))
    figure.update_layout(margin={"b": 88 if ranked else 46}, hovermode="closest")
    if ranked:
        figure.update_layout(coloraxis=ranked_axis())
    few = f" ({len(drawn)} of {len(values)} rows)" if len(drawn) < len(values) else f" ({len(values)} rows)"
    said = f"Shares in {quantity(explanation)} by value" + few
    return finish(figure, said, caption(explanation), DEEP * len(order) + 110)


def dependence(explanation: Explanation, name: str, colour: str | None = None) -> go.Figure:
    """A column's share against its value, coloured by the column that it depends on most.

    Args:
        explanation: Of a method that answers for every row.
        name: The column.
        colour: The column that gives the colour; None for the one that the interactions name, or where there are none
            the one that explains most of what rows of like value differ in.
    """
    place, found = player(explanation, name), column(explanation, name)
    if found is None:
        raise ExplanationError(
            f"dependence must be on a column with cells to show, however '{name}' is none; take bars"
        )
    values = local(explanation)[:, place]
    colour = colour if colour is not None else partner(explanation, name)
    tint = None if colour is None else column(explanation, colour)
    drawn = drawn_rows(len(values), explanation.question.seed)
    x = spread(found.numbers[drawn]) if found.kind == "category" else found.axis[drawn]
    hover = [
        f"{escape(name, 40)} = {escape(found.cells[row], 40)}<br>share {format_number(values[row], 4)}"
        + (f"<br>{escape(colour, 40)} = {escape(tint.cells[row], 40)}" if tint is not None else "")
        for row in drawn
    ]
    figure = go.Figure(tinted(x, values[drawn], hover, tint, drawn))
    if tint is not None and tint.kind != "category":
        figure.update_layout(coloraxis=tint_axis(str(colour), tint))
    if found.kind == "category":
        figure.update_xaxes(tickvals=np.arange(len(found.labels)), ticktext=[escape(each, 14) for each in found.labels])
        figure.update_xaxes(tickangle=SLANT)
    gone = int(np.isnan(found.numbers).sum())
    figure.update_xaxes(title_text=escape(name, 40) + (f" ({gone} missing left out)" if gone else ""))
    figure.update_yaxes(title_text=f"share of {escape(name, 30)}", zeroline=True)
    said = f"How {name} acts on {quantity(explanation)}" + (f", coloured by {colour}" if tint is not None else "")
    figure.update_layout(hovermode="closest")
    height = legend_below(figure, 320, SLANTED if found.kind == "category" else 0)
    if tint is not None and tint.kind != "category":
        figure.update_layout(margin={"b": figure.layout.margin.b + 36})
    return finish(figure, said, caption(explanation), height + (36 if figure.layout.coloraxis.cmin is not None else 0))


def partner(explanation: Explanation, name: str) -> str | None:
    """The column that a column's share depends on most; None where there is no other."""
    place = player(explanation, name)
    others = [each for each in explanation.players if each != name and column(explanation, each) is not None]
    if not others:
        return None
    told = explanation.attribution.interactions
    if told is not None:
        size = told.abs().double().mean(0)[place].cpu().numpy()
        return max(others, key=lambda each: float(size[explanation.players.index(each)]))
    found = column(explanation, name)
    assert found is not None
    order = np.argsort(found.numbers, kind="stable")
    windows = np.array_split(order, max(1, min(WINDOWS, len(order) // FEWEST)))
    share = local(explanation)[:, place]
    ranks = {each: column(explanation, each).ranks for each in others}  # type: ignore[union-attr]
    return max(others, key=lambda each: sum(_related(share[part], ranks[each][part]) * len(part) for part in windows))


def interaction_matrix(explanation: Explanation, row: int | None = None, top: int = 15) -> go.Figure:
    """What two players do together beyond each alone: mean size over rows, or with its sign in one row.

    Raises:
        ExplanationError: The method said nothing of interactions.
    """
    told = explanation.attribution.interactions
    if told is None:
        raise ExplanationError(
            f"interactions must have been worked out, however {explanation.explainer} gave none; "
            "explain with shapley and interactions"
        )
    found = told.double().cpu().numpy()
    matrix = np.abs(found).mean(0) if row is None else found[checked(explanation, row)]
    order = np.sort(np.argsort(-np.abs(matrix).sum(0), kind="stable")[:top])
    labels = [explanation.players[each] for each in order]
    where = f" (mean size, {len(found)} rows)" if row is None else f" in row {row_name(explanation, row)}"
    said = f"Interactions in {quantity(explanation)}" + where
    picture = square(matrix[np.ix_(order, order)], labels, signed=row is not None)
    return finish(picture, said, caption(explanation), 150 + 30 * max(len(order), 6))


def square(matrix: Array, labels: list[str], *, signed: bool, written: bool = False) -> go.Figure:
    """A symmetric matrix as a heat map; its diagonal is left empty. Shape: names names"""
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix).astype(np.float32)
    most = float(np.nanmax(np.abs(shown), initial=0.0)) or 1.0
    hover = [
        [
            f"{escape(one, 40)}<br>{escape(other, 40)}<br>{format_number(float(matrix[i, j]), 4)}"
            for j, other in enumerate(labels)
        ]
        for i, one in enumerate(labels)
    ]
    places = np.arange(len(labels))
    words = [["" if i == j else format_number(float(matrix[i, j]), 2) for j in places] for i in places]
    figure = go.Figure(
        go.Heatmap(z=shown, x=places, y=places, hovertext=hover, hoverinfo="text", hoverongaps=False, xgap=1, ygap=1)
    )
    figure.update_traces(
        colorscale=SIGNED if signed else AMOUNTS,
        zmin=-most if signed else 0,
        zmax=most,
        colorbar={"thickness": 10, "nticks": 5},
        text=words if written else None,
        texttemplate="%{text}" if written else None,
    )
    ticks = {"tickvals": places, "ticktext": [escape(each, 18) for each in labels], "showgrid": False}
    figure.update_xaxes(**ticks, tickangle=-90)
    figure.update_yaxes(**ticks, autorange="reversed")
    return figure


def classes(explanation: Explanation, top: int = TOP) -> go.Figure:
    """Mean size of the shares in each output, one above another: which column tells which class."""
    sizes = [shares(explanation.of(focus)) for focus in range(len(explanation.attributions))]
    means = np.stack([np.abs(each).mean(0) for each in sizes])
    order = np.argsort(-means.sum(0), kind="stable")[:top]
    figure = go.Figure()
    for position, output in enumerate(explanation.outputs[: len(means)]):
        hover = [
            f"{escape(explanation.players[each], 60)}<br>{named(output)}: {format_number(means[position, each], 4)}"
            for each in order
        ]
        figure.add_bar(x=means[position, order], y=np.arange(len(order)), orientation="h", width=0.66)
        figure.data[-1].update(
            name=escape(output, 20),
            hovertext=hover,
            hoverinfo="text",
            marker={
                "color": CATEGORIES[position % len(CATEGORIES)],
                "pattern_shape": ("", "/", "x")[position // 8 % 3],
            },
        )
    named_lines(figure, [explanation.players[each] for each in order])
    figure.update_xaxes(title_text="mean |share|")
    figure.update_layout(barmode="stack", showlegend=True, legend={"traceorder": "normal"})
    said = f"Which players tell the outputs of {explanation.target or 'the model'} apart"
    return finish(figure, said, caption(explanation), legend_below(figure, BAR * len(order) + 10))


def _related(values: Array, ranks: Array) -> float:
    """Size of the correlation, where there is one; a category's order says little, yet more than nothing."""
    there = np.isfinite(ranks)
    if there.sum() < 3 or not np.ptp(values[there]) or not np.ptp(ranks[there]):
        return 0.0
    return float(abs(np.corrcoef(values[there], ranks[there])[0, 1]))
