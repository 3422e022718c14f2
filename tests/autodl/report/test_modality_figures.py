from __future__ import annotations

import numpy as np
import pytest

from autodl.report import _modality_figures as figures

NASTY = "<b>photo</b> $x$ %{x}"


def test_an_interval_is_whole_or_none() -> None:
    told = {"test": {"auc": [0.9, 0.8, 0.95]}, "validation": {"auc": [0.9, None, 0.95]}}
    assert figures.interval(told, "test", "auc") == (0.9, 0.8, 0.95)
    assert figures.interval(told, "validation", "auc") is None
    assert figures.interval(told, "test", "accuracy") is None
    assert figures.interval({}, "test", "auc") is None
    assert figures.written((0.9, 0.8, 0.95)) == "0.9 (0.8 to 0.95)"
    assert figures.written(None) == "unknown"


def test_each_model_has_a_dot_and_an_interval_for_each_part() -> None:
    told = [
        {"name": NASTY, "kind": "alone", "test": {"auc": [0.7, 0.6, 0.75]}, "validation": {"auc": [0.8, 0.7, 0.9]}},
        {"name": "all", "kind": "fused", "test": {"auc": [0.9, 0.85, 0.95]}, "validation": {}},
    ]
    figure = figures.compared(told, "auc", better=True)
    test, validation = figure.data
    assert (test.name, validation.name) == ("test", "validation")
    np.testing.assert_allclose(test.x - test.error_x.arrayminus, [0.6, 0.85])
    np.testing.assert_allclose(test.x + test.error_x.array, [0.75, 0.95])
    assert len(validation.x) == 1
    assert figure.layout.yaxis.ticktext[0].startswith("&lt;b&gt;")
    assert figure.layout.yaxis.ticktext[1] == "<b>all</b>"
    assert "all 0.9 (0.85 to 0.95)" in figure.layout.meta["alt"]


def test_the_way_of_the_score_ends_at_all_inputs() -> None:
    told = {"values": {NASTY: 0.1, "text": 0.5}, "intervals": {"text": [0.4, 0.6]}, "empty": 0.3, "full": 0.9}
    figure = figures.shapley(told, "accuracy", 200)
    bars = figure.data[0]
    np.testing.assert_allclose(bars.base.astype(float), [0.3, 0.8])
    np.testing.assert_allclose(bars.x, [0.5, 0.1])
    assert "text +0.5 (+0.4 to +0.6)" in figure.layout.meta["alt"]
    assert "<b>photo" not in "".join(figure.layout.yaxis.ticktext)
    figures.shapley({"values": {"a": None}, "empty": 0.0, "full": 0.0}, "r2", 1)  # what has no value is none


def test_the_parts_of_a_class_lie_side_by_side() -> None:
    told = {f"class {at}": {"a": 0.25, "b": 0.75} for at in range(40)}
    figure = figures.shares(told, ["a", "b"], 200)
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert figure.layout.barmode == "stack"
    assert {len(trace.x) for trace in figure.data} == {figures.MOST_CLASSES}
    assert "The first 30 of 40 classes" in figure.layout.meta["caption"]
    assert "class 0: most b 75%" in figure.layout.meta["alt"]


def test_pairs_are_symmetric_and_the_strongest_is_told() -> None:
    figure = figures.pairs([["a", "b", 0.1], ["a", "c", -0.3], ["b", "c", None]], ["a", "b", "c"], "auc")
    z = figure.data[0].z
    assert (z[0, 1], z[1, 0], z[0, 2], z[2, 0]) == pytest.approx((0.1, 0.1, -0.3, -0.3))
    assert np.isnan(np.diag(z)).all()
    assert "a and c: −0.3" in figure.layout.meta["alt"]


def test_the_curve_has_its_interval_and_the_score_of_nothing_known() -> None:
    told = {"shares": [0, 0.3, 0.9], "scores": [[0.9, 0.8, 1.0], [0.7, 0.6, 0.8], [None, None, None]], "prior": 0.2}
    band, line, prior = figures.missing(told, "accuracy").data
    np.testing.assert_allclose(line.x, [0, 0.3])
    np.testing.assert_allclose(band.y, [1.0, 0.8, 0.6, 0.8])
    assert set(prior.y) == {0.2}
    assert len(figures.missing({**told, "prior": None}, "accuracy").data) == 2
    assert "30% 0.7; nothing known 0.2" in figures.missing(told, "accuracy").layout.meta["alt"]
