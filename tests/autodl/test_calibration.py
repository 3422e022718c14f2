from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.calibration import Calibration, best_threshold, fit_calibration, prior
from autodl.metrics import METRICS, get_metric
from autodl.records import Task

BINARY = Task("y", "binary", ("no", "yes"), "log_loss")
CLASSES = Task("y", "multiclass", ("a", "b", "c"), "log_loss")
LABELS = Task("a", "multilabel", metric="log_loss", further=("b", "c"))
LOG_LOSS = METRICS["log_loss"].function


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def case(
    task: Task, rows: int, seed: int = 0, *, sharpness: float = 1.0, bias: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right, or too sure, or lean to the last class or target; and targets drawn."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, task.n_outputs)) * 1.5
    lean = bias * np.arange(task.n_outputs)
    if task.kind == "multilabel":
        targets = (logits + generator.logistic(size=logits.shape) > 0).astype(np.float64)
        return 1 / (1 + np.exp(-logits * sharpness - lean)), targets
    targets = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(logits * sharpness + lean), targets


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS], ids=lambda task: task.kind)
def test_what_is_too_sure_is_toned_down_by_one_temperature(task: Task) -> None:
    calibration = fit_calibration(*case(task, 1500, sharpness=2.0), task)
    assert np.array(calibration.scales).shape == (1, 1)
    assert calibration.scales[0][0] == pytest.approx(0.5, rel=0.15)
    told, targets = case(task, 5000, seed=1, sharpness=2.0)
    assert LOG_LOSS(targets, calibration.apply(told)) < LOG_LOSS(targets, told)


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS], ids=lambda task: task.kind)
def test_what_leans_to_a_class_gets_biases(task: Task) -> None:
    calibration = fit_calibration(*case(task, 2000, bias=1.0), task)
    assert len(calibration.biases) == (3 if task is LABELS else 1)
    told, targets = case(task, 5000, seed=1, bias=1.0)
    right, _ = case(task, 5000, seed=1)
    assert LOG_LOSS(targets, calibration.apply(told)) == pytest.approx(LOG_LOSS(targets, right), abs=0.005)


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS], ids=lambda task: task.kind)
@pytest.mark.parametrize("rows", [60, 400, 3000])
def test_what_is_right_is_hardly_touched(task: Task, rows: int) -> None:
    told, targets = case(task, 5000, seed=99)
    costs = []
    for seed in range(5):
        calibration = fit_calibration(*case(task, rows, seed=seed), task)
        costs.append(LOG_LOSS(targets, calibration.apply(told)) - LOG_LOSS(targets, told))
    assert np.mean(costs) < 1.0 / rows


@given(st.integers(0, 49), st.integers(0, 100))
@settings(max_examples=10)
def test_a_handful_of_rows_changes_nothing(rows: int, seed: int) -> None:
    assert fit_calibration(*case(BINARY, rows, seed, sharpness=5.0), BINARY) == Calibration()


def test_rows_without_a_prediction_are_left_out() -> None:
    told, targets = case(CLASSES, 500, sharpness=2.0)
    broken = np.concatenate([told, np.full((20, 3), np.nan)])
    found = fit_calibration(broken, np.concatenate([targets, np.zeros(20, np.int64)]), CLASSES)
    assert found == fit_calibration(told, targets, CLASSES)


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS], ids=lambda task: task.kind)
def test_calibrated_probabilities_are_probabilities_even_of_zeros_and_ones(task: Task) -> None:
    calibration = fit_calibration(*case(task, 1500, sharpness=2.0, bias=0.5), task)
    hard = np.eye(task.n_outputs)
    told = calibration.apply(hard)
    assert told.shape == hard.shape
    assert ((told >= 0) & (told <= 1)).all()
    if task is not LABELS:
        np.testing.assert_allclose(told.sum(1), 1)


def test_numbers_are_left_alone() -> None:
    task = Task("y", "regression", metric="rmse")
    numbers = np.linspace(-5, 5, 100)
    calibration = fit_calibration(numbers, numbers + 1, task)
    assert calibration == Calibration()
    assert calibration.apply(numbers) is numbers


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS], ids=lambda task: task.kind)
def test_survives_json(task: Task) -> None:
    task = replace(task, metric="f1_macro")
    told, targets = case(task, 2000, sharpness=2.0, bias=1.0)
    calibration = fit_calibration(told, targets, task)
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration
    np.testing.assert_array_equal(again.apply(told), calibration.apply(told))


def test_the_likeliest_class_is_said_without_a_threshold() -> None:
    told, _ = case(CLASSES, 50)
    np.testing.assert_array_equal(Calibration().decide(told), told.argmax(1))
    np.testing.assert_array_equal(Calibration().decide(np.array([[0.5, 0.5]])), [0])
    np.testing.assert_array_equal(Calibration(labels=True).decide(np.array([[0.5, 0.6]])), [[0, 1]])


def test_thresholds_draw_the_line() -> None:
    told = np.array([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    np.testing.assert_array_equal(Calibration(thresholds=(0.3,)).decide(told), [0, 0, 1])
    np.testing.assert_array_equal(
        Calibration(labels=True, thresholds=(0.75, 0.25)).decide(told), [[1, 0], [0, 1], [0, 1]]
    )


def test_metrics_of_decisions_see_decisions_and_others_probabilities() -> None:
    told, targets = np.array([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 1])
    calibration = Calibration(thresholds=(0.3,))
    assert calibration.judged(told, METRICS["log_loss"]) is told
    assert Calibration().judged(told, METRICS["f1"]) is told
    assert METRICS["f1"].function(targets, told) == 0
    assert METRICS["f1"].function(targets, calibration.judged(told, METRICS["f1"])) == 1
    several = Calibration(labels=True, thresholds=(0.9, 0.1))
    np.testing.assert_array_equal(several.judged(told, METRICS["accuracy"]), [[0, 1], [0, 1]])


@pytest.mark.parametrize("metric", ["f1", "f1_macro", "balanced_accuracy"])
def test_a_rare_class_is_said_more_often_where_the_metric_wants_it(metric: str) -> None:
    task = replace(BINARY, metric=metric)
    generator = np.random.default_rng(0)
    logits = generator.normal(size=23_000) * 2 - 2.5
    targets = (logits + generator.logistic(size=23_000) > 0).astype(np.int64)
    told = softmax(np.stack([np.zeros_like(logits), logits], axis=1))
    calibration = fit_calibration(told[:3000], targets[:3000], task)
    assert 0 < calibration.thresholds[0] < 0.45
    function, new = get_metric(metric, task).function, calibration.apply(told[3000:])
    judged = calibration.judged(new, METRICS[metric])
    assert function(targets[3000:], judged) > function(targets[3000:], new) + 0.01


def test_each_of_several_labels_gets_its_own_threshold() -> None:
    task = replace(LABELS, metric="f1_macro")
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3000, 3)) * 2 - [0.0, 2.0, 4.0]
    targets = (logits + generator.logistic(size=logits.shape) > 0).astype(np.float64)
    thresholds = fit_calibration(1 / (1 + np.exp(-logits)), targets, task).thresholds
    assert len(thresholds) == 3
    assert thresholds[2] < 0.5


def test_accuracy_on_honest_probabilities_needs_no_threshold() -> None:
    assert (
        sum(
            best_threshold(told[:, 1], targets, METRICS["accuracy"]) == 0.5
            for told, targets in (case(BINARY, 300, seed) for seed in range(20))
        )
        >= 18
    )


@pytest.mark.parametrize("name", ["log_loss", "roc_auc", "brier", "ece", "average_precision"])
def test_metrics_of_probabilities_leave_the_threshold_at_one_half(name: str) -> None:
    told, targets = case(BINARY, 1000, bias=2.0)
    assert best_threshold(told[:, 1], targets, METRICS[name]) == 0.5


@pytest.mark.parametrize("targets", [np.zeros(100), np.ones(100), np.zeros(0), np.arange(2)])
def test_without_both_classes_or_rows_the_threshold_stays_at_one_half(targets: np.ndarray) -> None:
    told = np.linspace(0, 1, len(targets))
    assert best_threshold(told, targets, METRICS["f1"]) == 0.5


@pytest.mark.parametrize("metric", ["accuracy", "f1", "f1_macro", "f1_weighted", "balanced_accuracy", "mcc"])
def test_a_clear_line_is_found_wherever_it_is(metric: str) -> None:
    told = np.random.default_rng(0).random(500)
    assert best_threshold(told, told > 0.8, METRICS[metric]) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("task", "targets", "expected"),
    [
        (CLASSES, np.array([0, 0, 2, 1]), (0.5, 0.25, 0.25)),
        (LABELS, np.array([[0.0, 1, 1], [0, 0, 1]]), (0.0, 0.5, 1.0)),
        (Task("y", "regression"), np.array([1.0, 2, 6]), (3.0,)),
        (Task("y", "quantile", quantiles=(0.0, 0.5)), np.array([1.0, 2, 6]), (1.0, 2.0)),
    ],
    ids=lambda value: value.kind if isinstance(value, Task) else "",
)
def test_of_a_row_of_which_nothing_is_known_the_prior_is_said(
    task: Task, targets: np.ndarray, expected: tuple[float, ...]
) -> None:
    assert prior(targets, task) == expected
    known = replace(Calibration(), prior=expected)
    told = np.full((2, len(expected)), 0.4)
    told[1] = np.nan
    if task.kind == "regression":
        told = told[:, 0]
    found = known.apply(told)
    np.testing.assert_array_equal(found[0], told[0])
    np.testing.assert_array_equal(found[1], expected if told.ndim > 1 else expected[0])
    assert Calibration.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_the_prior_is_not_calibrated() -> None:
    calibration = Calibration(scales=((0.5,),), biases=((0.0,),), prior=(0.9, 0.1))
    found = calibration.apply(np.array([[np.nan, np.nan], [0.8, 0.2]]))
    np.testing.assert_allclose(found, [[0.9, 0.1], [2 / 3, 1 / 3]])
