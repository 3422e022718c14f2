"""Figures of a search: its history, its hyperparameters side by side, what they matter, and the baselines beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from autodl.leaderboard import Leaderboard, describe, model_name
from autodl.records import TrialRecord
from autodl.report._importance import RESAMPLES, Importance
from autodl.report._knobs import Knob
from autodl.report._table import figures
from autodl.report.style import CATEGORIES, LOW_TO_HIGH, LOWERS, QUIET, RAISES, escape, finish

MOST_AXES = 11
MOST_BARS = 15
MOST_TICKS = 12
NAMES = 66  # pixels above parallel axes
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "hexagon", "triangle-down")
_LINE = 30  # pixels of a bar


def scored(board: Leaderboard) -> list[TrialRecord]:
    """The trials that have a score, in the order in which they were asked for."""
    known = [each for each in board.records if each.score is not None and math.isfinite(each.score)]
    return sorted(known, key=lambda each: each.number)


def history(board: Leaderboard, ensemble: float | None) -> go.Figure:
    """Score by trial, coloured by model, with the best so far and the ensemble."""
    records = scored(board)
    scores = np.array([each.score for each in records], float)
    figure = go.Figure()
    models = [model for model, _ in Counter(model_name(each.config) for each in records).most_common()]
    for at, model in enumerate(models):
        figure.add_trace(_dots([each for each in records if model_name(each.config) == model], model, at))
    best = np.maximum.accumulate(scores) if board.greater_is_better else np.minimum.accumulate(scores)
    numbers = [each.number for each in records]
    line = {"shape": "hv", "color": QUIET, "width": 2}
    figure.add_scatter(x=numbers, y=best, mode="lines", line=line, name="best so far", hoverinfo="skip")
    low, high, beyond = _range(scores, ensemble, board.greater_is_better)
    failed = [each for each in board.records if each.state == "failed" and each not in records]
    if failed:
        figure.add_trace(_crosses(failed, low if board.greater_is_better else high))
    if ensemble is not None and records:
        figure.add_hline(ensemble, line={"color": RAISES, "dash": "dash", "width": 2})
        figure.add_annotation(
            text=f"ensemble {figures(ensemble)}", x=1, xref="paper", xanchor="right", y=ensemble, showarrow=False,
            yanchor="bottom" if board.greater_is_better else "top", font={"color": RAISES},
        )  # fmt: skip
    figure.update_xaxes(title_text="trial, in the order of asking", zeroline=False)
    figure.update_yaxes(title_text=f"{escape(board.metric)} ({_better(board)})", range=[low, high], zeroline=False)
    figure.update_yaxes(**_plain(scores))
    figure.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"})
    outside = (
        f" {_counted(beyond, 'trial lies', 'trials lie')} beyond the axis; a double click shows all." if beyond else ""
    )
    caption = (
        "One mark a trial: filled where it trained to its end, open where it was left or stopped on the way, so that "
        f"its score is that of a shorter training; × failed without a score.{outside}"
    )
    best_one = board.best
    said = (
        f"The best trial, number {best_one.number}, scores {figures(best_one.score)}." if best_one else "None scored."
    )
    with_models = f"{len(records)} of {len(board)} trials have a score, of {_counted(len(models), 'model', 'models')}. "
    return finish(figure, "Score of every trial", caption, 430, with_models + said)


def parallel(model: str, records: Sequence[TrialRecord], knobs: Sequence[Knob], board: Leaderboard) -> go.Figure:
    """The hyperparameters of one model's trials as parallel axes, the score last and as the lines' colour."""
    scores = np.array([each.score for each in records], float)
    turned = -scores if board.greater_is_better else scores
    low, high = turned.min(), np.quantile(turned, 0.9)
    shown = knobs[:MOST_AXES]
    score_axis = {"label": escape(board.metric, 16), "values": scores, **_ends(scores)}
    scale = [(1 - at, colour) for at, colour in reversed(LOW_TO_HIGH)]
    trace = go.Parcoords(
        dimensions=[*map(_axis, shown), score_axis],
        line={"color": turned, "colorscale": scale, "cmin": low, "cmax": high if high > low else low + 1},
        labelangle=-20, labelside="top", labelfont={"size": 12}, rangefont={"size": 11}, tickfont={"size": 11},
        unselected={"line": {"color": QUIET, "opacity": 0.12}},
    )  # fmt: skip
    figure = go.Figure(trace)
    figure.update_layout(margin={"l": 60, "r": 60, "b": 24})
    left_out = (
        f" Shown are {len(shown)} of {len(knobs)}, those that matter most first." if len(knobs) > len(shown) else ""
    )
    caption = (
        f"One line a trial of {model}, orange the best, blue the worst; drag along an axis to keep the trials that "
        "pass there, drag an axis to another place. A knob that does not count in a trial stands at the axis's lower "
        f"end as –.{left_out}"
    )
    best = min(zip(turned, records, strict=True), key=lambda pair: pair[0])[1]
    said = f"{len(records)} trials of {model}; the best is number {best.number}: {describe(best.config)}."
    finish(figure, f"Hyperparameters of {model}", caption, 430, said)
    return with_room_for_names(figure)


def with_room_for_names(figure: go.Figure) -> go.Figure:
    """The same with room above parallel axes, where their names stand."""
    return figure.update_layout(margin_t=figure.layout.margin.t + NAMES, height=figure.layout.height + NAMES)


def importances(found: Importance) -> go.Figure:
    """What the knobs matter, with intervals."""
    shown = list(range(min(len(found.knobs), MOST_BARS)))
    share, low, high = (np.array(values)[shown] for values in (found.share, found.low, found.high))
    labels = [escape(found.knobs[at].path, 40) for at in shown]
    error = {
        "type": "data",
        "symmetric": False,
        "array": np.clip(high - share, 0, None),
        "arrayminus": np.clip(share - low, 0, None),
    }
    figure = go.Figure(go.Bar(x=share, y=shown, orientation="h", error_x=error, marker_color=LOWERS, hovertext=labels))
    figure.update_traces(hovertemplate="%{hovertext}: %{x:.3f}<extra></extra>")
    figure.update_yaxes(tickvals=shown, ticktext=labels, autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="share of variance", rangemode="tozero")
    caption = (
        f"Permutation importance in random forests that were fitted on {found.trials} trials: {RESAMPLES} times trials "
        "are drawn anew, and a knob's values are shuffled among the trials left out. Bars are means, whiskers hold "
        f"90 % of the draws. The forests explain {found.explained:.0%} of the order of trials they have not seen; "
        "scores of trials that were stopped early count as they are. Knobs that were tried together cannot be "
        "told apart."
    )
    top = ", ".join(f"{found.knobs[at].path} {share[at]:.2f}" for at in shown[:3])
    return finish(
        figure, "What the score hangs on", caption, 60 + _LINE * max(len(shown), 3), f"Most important: {top}."
    )


def beside_baselines(values: Mapping[str, float], board: Leaderboard) -> go.Figure:
    """Validation scores of ensemble and best trial, and of the simple baselines."""
    names = list(values)
    heights = list(values.values())
    colours = [RAISES if name == "ensemble" else LOWERS if name == "best trial" else QUIET for name in names]
    figure = go.Figure(go.Bar(x=heights, y=list(range(len(names))), orientation="h", marker_color=colours))
    text = [figures(value) for value in heights]
    figure.update_traces(
        text=text,
        textposition="auto",
        hovertext=[escape(name) for name in names],
        hovertemplate="%{hovertext}: %{x}<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[escape(name, 26) for name in names], autorange="reversed"
    )
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(title_text=f"validation {escape(board.metric)} ({_better(board)})", **_plain(np.array(heights)))
    caption = (
        "On rows that were kept from training. Best trial and ensemble were chosen by these scores, so theirs are a "
        "little too good; the test score is not."
    )
    said = "; ".join(f"{name} {figures(value)}" for name, value in values.items())
    return finish(figure, "Beside simple baselines", caption, 70 + 40 * len(names), said)


def _dots(records: Sequence[TrialRecord], model: str, at: int) -> go.Scatter:
    symbol = _SYMBOLS[at % len(_SYMBOLS)]
    symbols = [symbol if each.state == "complete" else f"{symbol}-open" for each in records]
    colour = CATEGORIES[at % len(CATEGORIES)]
    words = [
        f"<b>trial {each.number}</b> {escape(each.state)}, {escape(each.source)}<br>{escape(describe(each.config), 80)}"
        f"<br>{figures(each.score)} at epoch {each.best_epoch} of {each.epoch}"
        for each in records
    ]
    return go.Scatter(
        x=[each.number for each in records], y=[each.score for each in records], mode="markers", name=escape(model, 40),
        marker={"symbol": symbols, "color": colour, "size": 10, "line": {"color": colour, "width": 2}},
        hovertext=words, hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _crosses(failed: Sequence[TrialRecord], edge: float) -> go.Scatter:
    words = [f"<b>trial {each.number}</b> failed<br>{escape(each.error, 80)}" for each in failed]
    return go.Scatter(
        x=[each.number for each in failed], y=[edge] * len(failed), mode="markers", name="failed", cliponaxis=False,
        marker={"symbol": "x", "color": QUIET, "size": 10},
        hovertext=words, hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _range(scores: np.ndarray[Any, Any], ensemble: float | None, greater: bool) -> tuple[float, float, int]:
    """Ends of the axis, which a few bad scores do not stretch, and how many trials lie beyond."""
    if not len(scores):
        return 0.0, 1.0, 0
    turned = -scores if greater else scores
    low, middle = turned.min(), np.quantile(turned, [0.25, 0.75])
    high = min(turned.max(), middle[1] + 2 * max(middle[1] - middle[0], middle[1] - low))
    low = low if ensemble is None else min(low, -ensemble if greater else ensemble)
    room = 0.08 * (high - low) or 0.01 * abs(high) or 0.01
    ends = sorted([(low - room) * (-1 if greater else 1), (high + room) * (-1 if greater else 1)])
    return float(ends[0]), float(ends[1]), int((turned > high + room).sum())


def _axis(knob: Knob) -> dict[str, Any]:
    """One axis of parallel coordinates, its ticks in the knob's own values."""
    label = "<br>".join(escape(part, 22) for part in knob.label.split("."))
    if not knob.numeric or len(knob.options) <= 6:
        return {"label": label, **_by_place(knob)}
    values = [math.log10(value) if knob.log and value is not None else value for value in knob.values]  # type: ignore[arg-type]
    known = np.array([value for value in values if value is not None], float)
    gap = 0.12 * (known.max() - known.min())
    unknown = known.min() - gap
    places = np.linspace(known.min(), known.max(), 5)
    told = [f"{10**place if knob.log else place:.2g}" for place in places]
    if len(known) < len(values):
        places, told = np.array([unknown, *places]), ["–", *told]
    return {
        "label": label,
        "values": np.array([unknown if value is None else value for value in values], float),
        "tickvals": places,
        "ticktext": told,
        "range": [places[0], places[-1]],
    }


def _by_place(knob: Knob) -> dict[str, Any]:
    """Values side by side, as many ticks as can be read."""
    options: list[Any] = [*([None] if None in knob.values else []), *knob.options]
    step = math.ceil(len(options) / MOST_TICKS)
    ticks = list(range(0, len(options), step))
    words = ["–" if options[at] is None else escape(figures(options[at]), 16) for at in ticks]
    values = np.array([options.index(value) for value in knob.values], float)
    return {"values": values, "tickvals": ticks, "ticktext": words, "range": [0, max(len(options) - 1, 1)]}


def _ends(scores: np.ndarray[Any, Any]) -> dict[str, Any]:
    places = np.linspace(scores.min(), scores.max(), 5)
    return {"tickvals": places, "ticktext": [figures(float(place)) for place in places]}


def _plain(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Ticks of an axis of large numbers: 24,000 and not 2.4 × 10⁴."""
    large = len(values) and 1e3 <= np.abs(values).max() < 1e9
    return {"exponentformat": "none", "separatethousands": True} if large else {}


def _better(board: Leaderboard) -> str:
    return "higher is better" if board.greater_is_better else "lower is better"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
