from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from autodl.leaderboard import Leaderboard
from autodl.records import Component, TrialConfig, TrialRecord
from autodl.report import _search_figures as figures
from autodl.report._importance import Importance
from autodl.report._knobs import Knob


def record(number: int, score: float | None, model: str = "mlp", **changes: Any) -> TrialRecord:
    nothing = Component("")
    config = TrialConfig({}, {"table": Component(model, {"depth": number})}, nothing, Component("adamw"), {}, 9, number)
    return TrialRecord(**{"number": number, "state": "complete", "config": config, "score": score, **changes})


def board(scores: Sequence[float | None], greater: bool = False, **changes: Any) -> Leaderboard:
    return Leaderboard([record(at, score, **changes) for at, score in enumerate(scores)], "loss", greater)


def trace(figure: Any, name: str) -> Any:
    return next(each for each in figure.data if each.name == name)


@pytest.mark.parametrize(("greater", "best"), [(False, [3, 3, 1, 1]), (True, [3, 4, 4, 5])])
def test_the_history_shows_every_score_and_the_best_so_far(greater: bool, best: list[float]) -> None:
    figure = figures.history(board([3.0, 4.0, 1.0, 5.0], greater), None)
    assert list(trace(figure, "mlp").x) == [0, 1, 2, 3]
    assert list(trace(figure, "mlp").y) == [3, 4, 1, 5]
    assert list(trace(figure, "best so far").y) == best


def test_what_was_left_is_open_and_what_failed_is_marked() -> None:
    records = [record(0, 1.0), record(1, 2.0, state="pruned"), record(2, None, state="failed", error="<b>no</b>")]
    figure = figures.history(Leaderboard(records, "loss", False), 0.5)
    assert list(trace(figure, "mlp").marker.symbol) == ["circle", "circle-open"]
    failed = trace(figure, "failed")
    assert list(failed.x) == [2]
    assert "&lt;b&gt;no" in failed.hovertext[0]
    assert figure.layout.shapes[0].y0 == 0.5
    assert "number 0, scores 1" in figure.layout.meta["alt"]


@pytest.mark.parametrize("greater", [False, True])
def test_a_bad_score_does_not_stretch_the_axis(greater: bool) -> None:
    scores = [0.5, 0.51, 0.52, 0.53, 0.54, 0.55, -40.0 if greater else 40.0]
    figure = figures.history(board(scores, greater), None)
    low, high = figure.layout.yaxis.range
    assert low > -1
    assert high < 1
    assert all(low < score < high for score in scores[:-1])
    assert "1 trial lies beyond the axis" in figure.layout.meta["caption"]


def test_each_model_has_a_colour_and_a_shape_of_its_own() -> None:
    records = [record(at, 1.0 + at, model) for at, model in enumerate(["a", "b", "c", "a"])]
    dots = [each for each in figures.history(Leaderboard(records, "loss", False), None).data if each.mode == "markers"]
    assert [each.name for each in dots] == ["a", "b", "c"]
    assert len({each.marker.color for each in dots}) == len({each.marker.symbol[0] for each in dots}) == 3


def test_parallel_axes_stand_for_the_values() -> None:
    records = [record(at, 1.0 + at) for at in range(8)]
    rates = tuple(10.0 ** -(1 + at / 2) if at else None for at in range(8))
    names = ("a", "b", "a", "b", "a", "b", "a", None)
    knobs = [Knob("optimizer.adamw.rate", rates, True), Knob("loss", names, False)]
    rate, name, score = figures.parallel("mlp", records, knobs, board([1.0])).data[0].dimensions
    assert list(rate["values"][1:]) == pytest.approx([np.log10(each) for each in rates[1:] if each])
    assert rate["values"][0] == rate["tickvals"][0] < min(rate["values"][1:])
    assert rate.ticktext[0] == "–"
    assert float(rate.ticktext[-1]) == pytest.approx(rates[1], rel=0.1)
    assert list(name.ticktext) == ["–", "a", "b"]
    assert list(name["values"]) == [1, 2, 1, 2, 1, 2, 1, 0]
    assert list(score["values"]) == [each.score for each in records]


@pytest.mark.parametrize(("greater", "best"), [(False, 0), (True, 4)])
def test_the_best_lines_are_orange_whatever_the_direction(greater: bool, best: int) -> None:
    records = [record(at, 1.0 + at) for at in range(5)]
    line = figures.parallel("mlp", records, [Knob("a", (1, 2, 3, 4, 5), False)], board([1.0], greater)).data[0].line
    assert int(np.argmin(line.color)) == best
    assert line.colorscale[0][1] == figures.LOW_TO_HIGH[-1][1]
    assert [at for at, _ in line.colorscale] == [0, 0.5, 1]


def test_as_many_axes_as_can_be_read() -> None:
    knobs = [Knob(f"k{at}", tuple(range(9)), False) for at in range(30)]
    figure = figures.parallel("mlp", [record(at, float(at)) for at in range(9)], knobs, board([1.0]))
    assert len(figure.data[0].dimensions) == figures.MOST_AXES + 1
    assert f"Shown are {figures.MOST_AXES} of 30" in figure.layout.meta["caption"]


def test_importances_carry_their_intervals_and_how_they_were_worked_out() -> None:
    knobs = tuple(Knob(f"<i>{at}", (1, 2), False) for at in range(2))
    figure = figures.importances(Importance(knobs, (0.5, 0.1), (0.25, -0.125), (1.0, 0.25), 0.75, 40))
    (bar,) = figure.data
    assert list(bar.x) == [0.5, 0.1]
    assert list(bar.error_x.array) == pytest.approx([0.5, 0.15])
    assert list(bar.error_x.arrayminus) == pytest.approx([0.25, 0.225])
    assert figure.layout.yaxis.ticktext[0] == "&lt;i&gt;0"
    said = figure.layout.meta["caption"]
    assert "40 trials" in said
    assert "75%" in said


def test_baselines_are_told_by_name_and_number(hostile: tuple[str, str]) -> None:
    figure = figures.beside_baselines({"ensemble": 0.4, "dummy": 0.9, hostile[0]: 1.0}, board([1.0]))
    assert list(figure.data[0].x) == [0.4, 0.9, 1.0]
    words = [*figure.layout.yaxis.ticktext, *figure.data[0].hovertext]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in words
    assert "<" not in "".join(words)


def test_no_text_of_a_figure_is_read_as_markup(searched: Callable[..., Any], hostile: tuple[str, str]) -> None:
    predictor = searched()
    figure = figures.history(predictor.leaderboard, 0.4)
    words = [text for each in figure.data for text in (each.hovertext or ())]
    assert words
    assert not any("<script" in text or "<img" in text for text in words)
    assert not any("<" in (each.name or "") for each in figure.data)


def test_without_any_score_there_is_still_a_figure() -> None:
    figure = figures.history(board([None, None], state="failed"), None)
    assert "None scored" in figure.layout.meta["alt"]
