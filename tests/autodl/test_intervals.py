from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl import intervals, storage
from autodl.intervals import Conformal, bootstrap_interval, fit_conformal
from autodl.metrics import METRICS, fitting
from autodl.records import Task

TASKS = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c", "d")),
    "regression": Task("y", "regression"),
    "multioutput": Task("a", "multioutput", further=("b",)),
    "quantile": Task("y", "quantile", quantiles=(0.25, 0.5, 0.75)),
}


def case(kind: str, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets; errors of numbers grow with the prediction."""
    generator = np.random.default_rng(seed)
    task = TASKS[kind]
    if task.is_classification:
        logits = generator.normal(size=(rows, len(task.classes))) * 2
        targets = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
        odds = np.exp(logits * 1.5)  # too sure
        return odds / odds.sum(axis=1, keepdims=True), targets
    numbers = generator.normal(size=(rows, 2))
    truth = numbers + generator.normal(size=(rows, 2)) * (0.2 + np.exp(numbers / 2)) * [1, 10]
    if kind == "multioutput":
        return numbers, truth
    if kind == "regression":
        return numbers[:, 0], truth[:, 0]
    return numbers[:, :1] + [-0.2, 0, 0.2], truth[:, 0]


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("coverage", [0.5, 0.9])
@pytest.mark.parametrize("rows", [60, 600])
def test_the_truth_lies_inside_as_often_as_asked(kind: str, coverage: float, rows: int) -> None:
    shares = []
    for seed in range(30):
        predictions, targets = case(kind, rows + 1000, seed)
        conformal = fit_conformal(predictions[:rows], targets[:rows], TASKS[kind])
        assert conformal is not None
        shares.append(conformal.covered(predictions[rows:], targets[rows:], coverage))
    assert np.mean(shares) == pytest.approx(coverage, abs=0.03 if rows == 60 else 0.012)


def test_each_of_several_targets_is_covered_by_itself() -> None:
    predictions, targets = case("multioutput", 6000)
    conformal = fit_conformal(predictions[:3000], targets[:3000], TASKS["multioutput"])
    assert conformal is not None
    low, high = conformal.intervals(predictions[3000:], 0.9)
    inside = ((low <= targets[3000:]) & (targets[3000:] <= high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.02)
    width = (high - low).mean(axis=0)
    assert width[1] == pytest.approx(10 * width[0], rel=0.2)


def test_intervals_are_wide_where_errors_are_and_so_shorter_on_average() -> None:
    predictions, targets = case("regression", 6000)
    conformal = fit_conformal(predictions[:3000], targets[:3000], TASKS["regression"])
    assert conformal is not None
    low, high = conformal.intervals(predictions[3000:], 0.9)
    width, large = high - low, predictions[3000:] > 0
    assert width[large].mean() > 1.5 * width[~large].mean()
    assert width.mean() < 2 * np.quantile(np.abs(predictions - targets)[:3000], 0.9)
    for part in (large, ~large):
        inside = ((low <= targets[3000:]) & (targets[3000:] <= high))[part]
        assert inside.mean() == pytest.approx(0.9, abs=0.03)


@given(st.integers(1, 150), st.floats(0.05, 0.99))
def test_on_few_rows_an_interval_is_the_error_of_the_right_rank(rows: int, coverage: float) -> None:
    errors = np.arange(1.0, rows + 1)
    conformal = fit_conformal(np.zeros(rows), np.random.default_rng(0).permutation(errors), TASKS["regression"])
    assert conformal is not None
    low, high = conformal.intervals(np.array([5.0]), coverage)
    rank = math.ceil((rows + 1) * coverage - 1e-9)
    expected = errors[rank - 1] if rank <= rows else math.inf
    assert (low[0], high[0]) == (5 - expected, 5 + expected)


@settings(max_examples=20)
@given(st.sampled_from(sorted(TASKS)), st.integers(0, 50))
def test_more_coverage_never_means_less_room(kind: str, seed: int) -> None:
    predictions, targets = case(kind, 100, seed)
    conformal = fit_conformal(predictions, targets, TASKS[kind])
    assert conformal is not None
    wide, narrow = 0.9, 0.6
    if TASKS[kind].is_classification:
        assert (conformal.sets(predictions, wide) >= conformal.sets(predictions, narrow)).all()
    else:
        (low, high), (inner_low, inner_high) = (conformal.intervals(predictions, each) for each in (wide, narrow))
        assert (low <= inner_low).all()
        assert (inner_low <= inner_high).all()
        assert (inner_high <= high).all()


def test_too_few_rows_for_the_level_leave_everything_possible() -> None:
    predictions, targets = case("multiclass", 5)
    conformal = fit_conformal(predictions, targets, TASKS["multiclass"])
    assert conformal is not None
    assert conformal.sets(predictions, 0.9).all()


def test_sets_hold_the_likely_classes_and_none_where_all_are_unlikely() -> None:
    told = np.array([[0.9, 0.1, 0.0, 0.0]] * 99)
    conformal = fit_conformal(told, np.zeros(99, np.int64), TASKS["multiclass"])
    assert conformal is not None
    new = np.array([[0.95, 0.05, 0, 0], [0.05, 0.95, 0, 0], [0.4, 0.3, 0.2, 0.1]])
    np.testing.assert_array_equal(conformal.sets(new, 0.9).sum(axis=1), [1, 1, 0])


def test_intervals_between_quantiles_may_shrink_but_never_turn_over() -> None:
    targets = np.zeros(200)
    predictions = np.tile([-5.0, 0.0, 5.0], (200, 1))
    conformal = fit_conformal(predictions, targets, TASKS["quantile"])
    assert conformal is not None
    low, high = conformal.intervals(np.array([[-5.0, 0.0, 5.0], [-1.0, 0.0, 2.0]]), 0.9)
    np.testing.assert_allclose(low, [0, 0.5])
    np.testing.assert_allclose(high, [0, 0.5])


def test_of_many_rows_some_errors_are_kept_and_the_coverage_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, targets = case("regression", 40_000)
    whole = fit_conformal(predictions[:20_000], targets[:20_000], TASKS["regression"])
    assert whole is not None
    assert len(whole.errors) == intervals.KEPT
    assert whole.rows == 20_000
    assert whole.covered(predictions[20_000:], targets[20_000:], 0.9) == pytest.approx(0.9, abs=0.01)
    monkeypatch.setattr(intervals, "KEPT", 20_000)
    exact = fit_conformal(predictions[:20_000], targets[:20_000], TASKS["regression"])
    assert exact is not None
    for coverage in (0.5, 0.9, 0.99):
        assert 0 <= whole.intervals(np.zeros(1), coverage)[1][0] - exact.intervals(np.zeros(1), coverage)[1][0] < 0.02


@pytest.mark.parametrize("kind", TASKS)
def test_survives_being_stored(kind: str, tmp_path: object) -> None:
    predictions, targets = case(kind, 700)
    conformal = fit_conformal(predictions, targets, TASKS[kind])
    assert conformal is not None
    storage.save(tmp_path, "conformal", conformal.to_json())  # type: ignore[arg-type]
    again = Conformal.from_json(storage.load(tmp_path, "conformal"))  # type: ignore[arg-type]
    assert again.covered(predictions, targets) == conformal.covered(predictions, targets)
    if TASKS[kind].is_classification:
        np.testing.assert_array_equal(again.sets(predictions), conformal.sets(predictions))
    else:
        np.testing.assert_array_equal(again.intervals(predictions), conformal.intervals(predictions))


def test_rows_without_a_prediction_are_left_out_and_none_leaves_nothing() -> None:
    predictions, targets = case("regression", 100)
    broken = np.concatenate([predictions, [np.nan, np.inf]])
    found = fit_conformal(broken, np.concatenate([targets, [0.0, 0.0]]), TASKS["regression"])
    assert found is not None
    assert found.rows == 100
    assert fit_conformal(broken[100:], np.zeros(2), TASKS["regression"]) is None
    labels = Task("a", "multilabel", further=("b",))
    assert fit_conformal(np.full((9, 2), 0.5), np.zeros((9, 2)), labels) is None


def test_predictions_that_are_always_right_give_intervals_of_no_width() -> None:
    targets = np.random.default_rng(0).normal(size=1000)
    conformal = fit_conformal(targets, targets, TASKS["regression"])
    assert conformal is not None
    low, high = conformal.intervals(np.array([0.5]), 0.9)
    assert low[0] == high[0] == 0.5


@pytest.mark.parametrize("kind", TASKS)
def test_bootstrap_intervals_hold_the_value_of_every_metric(kind: str) -> None:
    predictions, targets = case(kind, 200)
    for metric in fitting(TASKS[kind]).values():
        low, high = bootstrap_interval(metric.function, targets, predictions, draws=100)
        assert low < high
        if metric.name != "ece":  # chance in the bins adds to it in every draw
            assert low < metric.function(targets, predictions) < high


def test_bootstrap_intervals_hold_the_value_of_the_source_as_often_as_asked() -> None:
    function, inside = METRICS["rmse"].function, 0
    for seed in range(200):
        predictions, targets = case("regression", 300, seed)
        low, high = bootstrap_interval(function, targets, targets + 0.5 * (predictions > 0), level=0.8, draws=150)
        inside += low <= math.sqrt(0.125) <= high
    assert 0.7 <= inside / 200 <= 0.9


def test_bootstrap_intervals_follow_their_seed_and_level() -> None:
    predictions, targets = case("binary", 100)
    function = METRICS["log_loss"].function
    narrow = bootstrap_interval(function, targets, predictions, level=0.5, draws=200)
    assert narrow == bootstrap_interval(function, targets, predictions, level=0.5, draws=200)
    assert narrow != bootstrap_interval(function, targets, predictions, level=0.5, draws=200, seed=1)
    wide = bootstrap_interval(function, targets, predictions, level=0.95, draws=200)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_bootstrap_draws_without_a_value_are_left_out() -> None:
    """With one row of a class many draws lack it, and roc_auc has no value there."""
    targets = np.array([1] + [0] * 9)
    predictions = np.stack([1 - np.linspace(1, 0, 10), np.linspace(1, 0, 10)], axis=1)
    assert bootstrap_interval(METRICS["roc_auc"].function, targets, predictions, draws=50) == (1.0, 1.0)
    for nothing in (
        bootstrap_interval(METRICS["roc_auc"].function, targets[1:], predictions[1:], draws=5),
        bootstrap_interval(METRICS["roc_auc"].function, targets[:0], predictions[:0]),
    ):
        assert all(map(math.isnan, nothing))


def test_of_many_rows_the_bootstrap_draws_less_often() -> None:
    calls: list[int] = []

    def function(targets: np.ndarray, predictions: np.ndarray) -> float:
        calls.append(len(targets))
        return 0.0

    bootstrap_interval(function, np.zeros(10), np.zeros(10))
    assert len(calls) == 1000
    calls.clear()
    bootstrap_interval(function, np.zeros(100_000), np.zeros(100_000))
    assert len(calls) == intervals.FEWEST_DRAWS
