from __future__ import annotations

import math

import numpy as np
import pytest

from autodl.errors import UnknownNameError
from autodl.metrics import METRICS, Metric, default_metric, fitting, get_metric
from autodl.records import Task
from autodl.tasks import TASK_KINDS

TASKS = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c")),
    "multilabel": Task("a", "multilabel", further=("b", "c")),
    "regression": Task("y", "regression"),
    "multioutput": Task("a", "multioutput", further=("b",)),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)),
}
GENERATOR = np.random.default_rng(0)
CASES = {
    "binary": (np.arange(12) % 2, GENERATOR.dirichlet(np.ones(2), 12)),
    "multiclass": (np.arange(12) % 3, GENERATOR.dirichlet(np.ones(3), 12)),
    "multilabel": (GENERATOR.integers(2, size=(12, 3)).astype(float), GENERATOR.random((12, 3))),
    "regression": (GENERATOR.normal(size=12), GENERATOR.normal(size=12)),
    "multioutput": (GENERATOR.normal(size=(12, 2)), GENERATOR.normal(size=(12, 2))),
    "quantile": (GENERATOR.normal(size=12), np.sort(GENERATOR.normal(size=(12, 3)))),
}
FITTING = {
    "binary": "accuracy average_precision balanced_accuracy brier ece f1 f1_macro f1_weighted log_loss mcc roc_auc",
    "multiclass": "accuracy average_precision balanced_accuracy brier ece f1_macro f1_weighted log_loss mcc roc_auc",
    "multilabel": "accuracy average_precision brier f1_macro f1_weighted log_loss roc_auc",
    "regression": "mae mape r2 rmse",
    "multioutput": "mae mape r2 rmse",
    "quantile": "mae pinball rmse",
}


def test_every_kind_of_task_is_tried_here():
    assert set(TASKS) == set(CASES) == set(TASK_KINDS)


@pytest.mark.parametrize("kind", TASKS)
def test_all_that_fit_judge_the_kinds_predictions(kind):
    found = {name: metric.function(*CASES[kind]) for name, metric in fitting(TASKS[kind]).items()}
    assert sorted(found) == FITTING[kind].split()
    assert all(map(math.isfinite, found.values()))


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_not_finite_are_judged_nan(kind, bad):
    """A network that diverged must not be called right by luck."""
    targets, predictions = CASES[kind]
    broken = predictions.copy()
    broken.flat[-1] = bad
    assert all(math.isnan(metric.function(targets, broken)) for metric in fitting(TASKS[kind]).values())


@pytest.mark.parametrize("kind", TASKS)
def test_no_rows_are_judged_nan(kind):
    targets, predictions = CASES[kind]
    assert all(math.isnan(metric.function(targets[:0], predictions[:0])) for metric in fitting(TASKS[kind]).values())


@pytest.mark.parametrize("kind", TASKS)
def test_functions_leave_their_arguments_as_they_were(kind):
    targets, predictions = (each.copy() for each in CASES[kind])
    for metric in fitting(TASKS[kind]).values():
        metric.function(targets, predictions)
    assert (targets == CASES[kind][0]).all()
    assert (predictions == CASES[kind][1]).all()


def test_numbers_far_off_overflow_to_infinity():
    assert METRICS["rmse"].function(np.zeros(2), np.full(2, 1e300)) == math.inf


def test_quantiles_are_judged_at_the_tasks_own_levels():
    targets, predictions = np.array([1.0, 1.0]), np.array([[0.0, 3.0], [0.0, 3.0]])
    for levels, expected in [((0.5, 0.9), (0.5 + 0.2) / 2), ((0.1, 0.5), (0.1 + 1.0) / 2)]:
        task = Task("y", "quantile", quantiles=levels)
        assert get_metric("pinball", task).function(targets, predictions) == pytest.approx(expected)
        assert get_metric("mae", task).function(targets, predictions) == (1 if levels[0] == 0.5 else 2)


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


@pytest.mark.parametrize("kind", TASKS)
def test_every_metric_points_the_way_in_which_better_predictions_go(kind):
    targets, predictions = CASES[kind]
    if kind == "quantile":
        perfect = np.repeat(targets[:, None], predictions.shape[1], axis=1)
    else:
        perfect = np.eye(predictions.shape[1])[targets] if TASKS[kind].is_classification else targets
    for metric in fitting(TASKS[kind]).values():
        assert metric.better(metric.function(targets, perfect), metric.function(targets, predictions)), metric.name


@pytest.mark.parametrize("kind", TASKS)
def test_every_metric_is_found_for_its_tasks_only(kind):
    for name, metric in METRICS.items():
        if kind in metric.tasks:
            assert get_metric(name, TASKS[kind]).name == name
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
