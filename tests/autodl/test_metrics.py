from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as sklearn

from autodl import metrics
from autodl.errors import UnknownNameError
from autodl.metrics import METRICS, Metric, default_metric, get_metric
from autodl.records import Task

TASKS = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c")),
    "regression": Task("y", "regression"),
}


@st.composite
def classification(draw, least=2, most=4):
    """Targets and probabilities with many ties; often some class has no row, now and then all but one."""
    rows, classes = draw(st.integers(1, 25)), draw(st.integers(least, most))
    targets = draw(npst.arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    weights = draw(npst.arrays(np.float64, (rows, classes), elements=st.integers(0, 3)))
    weights[weights.sum(axis=1) == 0] = 1
    return targets, weights / weights.sum(axis=1, keepdims=True)


@st.composite
def regression(draw):
    """Targets and predictions, at times with repeated values, zeros and equal targets."""
    rows = draw(st.integers(1, 25))
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
    values = npst.arrays(np.float64, rows, elements=number, fill=number)
    return draw(values), draw(values)


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def labels(predictions):
    return list(range(predictions.shape[1]))


def sklearn_roc_auc(targets, predictions):
    """Binary, or the mean over the classes that scikit-learn can judge."""
    judged = [1] if predictions.shape[1] == 2 else labels(predictions)
    both = [each for each in judged if 0 < (targets == each).sum() < len(targets)]
    return (
        np.mean([sklearn.roc_auc_score(targets == each, predictions[:, each]) for each in both]) if both else math.nan
    )


def sklearn_f1(targets, predictions):
    average = "binary" if predictions.shape[1] == 2 else "macro"
    return quietly(sklearn.f1_score, targets, predictions.argmax(1), average=average, zero_division=0)


CLASSIFICATION = {
    "accuracy": lambda y, p: sklearn.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: quietly(sklearn.balanced_accuracy_score, y, p.argmax(1)),
    "f1": sklearn_f1,
    "roc_auc": sklearn_roc_auc,
    "log_loss": lambda y, p: sklearn.log_loss(y, p, labels=labels(p)),
    "brier": lambda y, p: sklearn.brier_score_loss(y, p, labels=labels(p)),
}
REGRESSION = {
    "rmse": sklearn.root_mean_squared_error,
    "mae": sklearn.mean_absolute_error,
    "mape": sklearn.mean_absolute_percentage_error,
    "r2": lambda y, p: quietly(sklearn.r2_score, y, p),
}


def test_every_metric_is_compared_with_scikit_learn():
    assert set(METRICS) == {*CLASSIFICATION, *REGRESSION}


@pytest.mark.parametrize("name", CLASSIFICATION)
@settings(max_examples=50)
@given(case=classification())
def test_classification_matches_scikit_learn(name, case):
    assert METRICS[name].function(*case) == pytest.approx(CLASSIFICATION[name](*case), rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", REGRESSION)
@settings(max_examples=50)
@given(case=regression())
def test_regression_matches_scikit_learn(name, case):
    assert METRICS[name].function(*case) == pytest.approx(REGRESSION[name](*case), rel=1e-6, abs=1e-9, nan_ok=True)


@settings(max_examples=50)
@given(case=classification(3, 3))
def test_roc_auc_matches_scikit_learns_own_mean_where_it_has_one(case):
    targets, predictions = case
    targets, predictions = np.r_[targets, 0, 1, 2], np.r_[predictions, np.eye(3)]
    expected = sklearn.roc_auc_score(targets, predictions, multi_class="ovr", average="macro")
    assert metrics.roc_auc(targets, predictions) == pytest.approx(expected)


@given(case=classification(2, 2))
def test_roc_auc_depends_on_the_order_alone(case):
    targets, predictions = case
    stretched = predictions**3 + 7
    assert metrics.roc_auc(targets, stretched) == pytest.approx(metrics.roc_auc(targets, predictions), nan_ok=True)


def test_float32_probabilities_of_zero_count_as_the_smallest_step():
    predictions = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert metrics.log_loss(np.array([1, 1]), predictions) == pytest.approx(-math.log(2**-23) / 2, rel=1e-5)


def test_one_class_only():
    """Ranking has no answer, the others have."""
    targets, predictions = np.zeros(3, dtype=np.int64), np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    values = {name: METRICS[name].function(targets, predictions) for name in CLASSIFICATION}
    assert math.isnan(values.pop("roc_auc"))
    assert values["accuracy"] == values["balanced_accuracy"] == pytest.approx(2 / 3)
    assert values["f1"] == 0
    assert all(map(math.isfinite, values.values()))


def test_equal_targets():
    targets = np.full(3, 0.1)
    assert metrics.r2(targets, targets) == 1
    assert metrics.r2(targets, targets + 1) == 0
    assert math.isnan(metrics.r2(targets[:1], targets[:1]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_not_finite_are_judged_nan(bad):
    """A network that diverged must not be called right by luck."""
    for name in CLASSIFICATION:
        assert math.isnan(METRICS[name].function(np.array([0, 1]), np.array([[1, 0], [bad, 1]])))
    for name in REGRESSION:
        assert math.isnan(METRICS[name].function(np.array([0.0, 1.0]), np.array([bad, 1.0])))


def test_no_rows_are_judged_nan():
    for name, metric in METRICS.items():
        shape = (0, 2) if name in CLASSIFICATION else (0,)
        assert math.isnan(metric.function(np.zeros(0, dtype=np.int64), np.zeros(shape)))


def test_numbers_far_off_overflow_to_infinity():
    assert metrics.rmse(np.zeros(2), np.full(2, 1e300)) == math.inf


def test_functions_leave_their_arguments_as_they_were():
    targets, predictions = np.array([0, 1, 1]), np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    before = targets.copy(), predictions.copy()
    for name in CLASSIFICATION:
        METRICS[name].function(targets, predictions)
    assert (targets == before[0]).all()
    assert (predictions == before[1]).all()


@pytest.mark.parametrize(("name", "better", "worse"), [("accuracy", 0.9, 0.8), ("rmse", 0.8, 0.9)])
def test_direction(name, better, worse):
    metric = METRICS[name]
    assert metric.better(better, worse)
    assert not metric.better(worse, better)
    assert not metric.better(better, better)
    assert metric.loss(better) < metric.loss(worse)
    assert metric.better(worse, math.nan)
    assert not metric.better(math.nan, worse)
    assert not metric.better(math.nan, math.nan)


@pytest.mark.parametrize(
    ("name", "perfect"), [(n, 1.0) for n in ("accuracy", "balanced_accuracy", "f1", "roc_auc")] + [("brier", 0.0)]
)
@pytest.mark.parametrize("classes", [2, 3])
def test_perfect_predictions(name, perfect, classes):
    targets = np.arange(12) % classes
    assert METRICS[name].function(targets, np.eye(classes)[targets]) == perfect


@pytest.mark.parametrize("kind", TASKS)
def test_every_metric_is_found_for_its_tasks_only(kind):
    for name, metric in METRICS.items():
        if kind in metric.tasks:
            assert get_metric(name, TASKS[kind]) is metric
        else:
            with pytest.raises(UnknownNameError, match=f"'{name}' is for .* and the task is {kind}; choose one of"):
                get_metric(name, TASKS[kind])


def test_an_unknown_metric_gets_the_nearest_of_those_that_fit():
    with pytest.raises(UnknownNameError, match="did you mean 'roc_auc'"):
        get_metric("roc-auc", TASKS["binary"])
    with pytest.raises(UnknownNameError, match="known: mae, mape, r2, rmse"):
        get_metric("roc-auc", TASKS["regression"])


@pytest.mark.parametrize("kind", TASKS)
def test_the_default_fits(kind):
    assert isinstance(get_metric(default_metric(TASKS[kind]), TASKS[kind]), Metric)


def test_every_metric_is_documented():
    assert all(metric.doc.endswith(".") for metric in METRICS.values())
