from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.report.scores import (
    confusion,
    coverage,
    precision_recall,
    predicted_and_true,
    reliability,
    residuals,
    roc,
    wilson,
)

ROWS = 2000


@pytest.fixture
def said() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, and classes drawn with them."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], ROWS)
    return probabilities, (generator.random((ROWS, 1)) > probabilities.cumsum(1)).sum(1)


def named(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data}


def test_honest_probabilities_lie_within_their_intervals(said: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = said
    figure = reliability(probabilities[:, 1], truth == 1, "test rows", "left = yes")
    happened, rows = named(figure)["happened"], named(figure)["rows"]
    low, high = happened.y - happened.error_y.arrayminus, happened.y + happened.error_y.array
    assert ((low <= happened.x) & (happened.x <= high)).mean() >= 0.8
    assert rows.y.sum() == happened.customdata.sum() == ROWS
    assert figure.layout.meta["caption"] == "test rows"


def test_certainty_belongs_to_the_last_bin_and_an_empty_bin_is_no_point() -> None:
    happened = named(reliability(np.array([1.0, 0.0, 1.0]), np.array([1, 0, 0]), "", "x"))["happened"]
    np.testing.assert_array_equal(happened.x, [0, 1])
    np.testing.assert_array_equal(happened.y, [0, 0.5])


def test_the_interval_is_wilson_s() -> None:
    low, high = wilson(np.array([0.1]), np.array([10]))
    np.testing.assert_allclose([low[0], high[0]], [0.0179, 0.4042], atol=1e-4)  # a textbook's example


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(hits: int, more: int) -> None:
    share = hits / (hits + more)
    low, high = wilson(np.array([share]), np.array([hits + more]))
    assert 0 <= low[0] <= share + 1e-12
    assert share - 1e-12 <= high[0] <= 1


def test_confusion_counts_rows_and_colours_by_the_class_s_share() -> None:
    truth, decided = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    figure = confusion(truth, decided, ["<b>", "yes", "never"], "about")
    np.testing.assert_allclose(figure.data[0].z, [[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 0, 0]], rtol=1e-6)
    assert figure.data[0].text[0][0] == "2<br>67%"
    assert figure.layout.xaxis.ticktext[0] == "&lt;b&gt;"
    assert "75.0% of 4 rows right" in figure.layout.meta["title"]
    many = confusion(np.arange(20), np.arange(20), list(range(20)), "about")
    assert many.data[0].text is None


def test_areas_are_those_of_a_hand_made_case() -> None:
    """Of the four pairs of a positive and a negative row, three are in the right order."""
    hit, said = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.8], [0.7], [0.1]])
    assert "yes: AUC 0.750" in named(roc(hit, said, ["yes"], ""))
    assert "yes: AP 0.833 (50% of rows)" in named(precision_recall(hit, said, ["yes"], ""))


def test_curves_are_of_classes_that_some_rows_are_of_and_some_are_not(said: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = said
    hit = np.stack([truth == 0, np.zeros(ROWS), np.ones(ROWS)], 1)
    assert len(roc(hit, probabilities, ["a", "b", "c"], "").data) == 2
    many = np.eye(10)[np.arange(ROWS) % 10]
    figure = precision_recall(many, np.full((ROWS, 10), 0.1), list(range(10)), "")
    assert len(figure.data) == 8
    assert "8 most frequent of 10" in figure.layout.meta["title"]
    assert max(len(trace.x) for trace in roc(many, many, list(range(10)), "").data) <= 400


def test_numbers_are_drawn_against_the_truth_with_r2_and_errors() -> None:
    truth = np.linspace(0, 10, 5000)
    figure = predicted_and_true(truth, truth + 1, "<i>price</i>", "about")
    assert len(figure.data[1].x) == 2000
    np.testing.assert_allclose(figure.data[1].y - figure.data[1].x, 1, atol=1e-5)
    assert f"R² {1 - 1 / truth.var():.3g}" in figure.layout.meta["title"]
    assert "&lt;i&gt;price" in figure.layout.xaxis.title.text
    figure = residuals(truth, truth + np.where(np.arange(5000) % 2, 1, -1), "price", "about")
    assert figure.data[0].y.sum() == 5000
    assert "half of the rows within 1" in figure.layout.meta["title"]


def test_a_constant_target_has_no_r2() -> None:
    assert "R² none" in predicted_and_true(np.ones(3), np.arange(3.0), "y", "").layout.meta["title"]


def test_coverage_is_the_share_of_rows_below_each_quantile() -> None:
    truth = np.arange(100.0)
    quantiles = np.stack([np.full(100, 9.5), np.full(100, 49.5)], 1)
    np.testing.assert_allclose(named(coverage(truth, quantiles, [0.1, 0.5], ""))["these rows"].y, [0.1, 0.5])
