"""Metrics: numbers that say how good predictions are, in numpy alone.

Each takes the targets ``(rows,)``, class indices or numbers, and the predictions: probabilities ``(rows, classes)``, or
numbers ``(rows,)`` in the target's unit. Without rows, or where a prediction is not finite, all are NaN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl.errors import UnknownNameError, unknown_name
from autodl.records import Task, TaskKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

Function: TypeAlias = "Callable[[Array, Array], float]"


@dataclass(frozen=True)
class Metric:
    """One metric and how to read it.

    Attributes:
        name: As on the command line.
        greater_is_better: Its direction.
        tasks: The kinds of task that it judges.
        function: Targets, predictions → value.
        doc: What it says, in one line.
    """

    name: str
    greater_is_better: bool
    tasks: frozenset[TaskKind]
    function: Function
    doc: str

    def loss(self, value: float) -> float:
        """Return the value turned so that lower is better."""
        return -value if self.greater_is_better else value

    def better(self, value: float, than: float) -> bool:
        """Whether a value beats another; NaN beats nothing, and every number beats NaN."""
        if math.isnan(value) or math.isnan(than):
            return math.isnan(than) and not math.isnan(value)
        return self.loss(value) < self.loss(than)


METRICS: dict[str, Metric] = {}


def get_metric(name: str, task: Task) -> Metric:
    """Return the metric of that name.

    Raises:
        UnknownNameError: No metric is called so, or it does not judge such a task.
    """
    fitting = [metric.name for metric in METRICS.values() if task.kind in metric.tasks]
    if name not in METRICS:
        raise unknown_name("metric", name, fitting)
    metric = METRICS[name]
    if name not in fitting:
        raise UnknownNameError(
            f"the metric must suit the task, however '{name}' is for {' and '.join(sorted(metric.tasks))} and the task "
            f"is {task.kind}; choose one of {', '.join(sorted(fitting))}"
        )
    return metric


def default_metric(task: Task) -> str:
    """Return the name of the metric that steers a search unless another is asked for."""
    return "log_loss" if task.is_classification else "rmse"


def _metric(*tasks: TaskKind, greater_is_better: bool) -> Callable[[Function], Function]:
    """Register a function; its first line becomes the metric's."""

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def guarded(targets: Array, predictions: Array) -> float:
            if not len(targets) or not np.isfinite(predictions).all():
                return math.nan
            with np.errstate(all="ignore"):  # a member far off may overflow to infinity, which is an honest value
                return float(function(targets, predictions))

        doc = (function.__doc__ or "").split("\n")[0]
        METRICS[function.__name__] = Metric(function.__name__, greater_is_better, frozenset(tasks), guarded, doc)
        return guarded

    return register


_classification = functools.partial(_metric, "binary", "multiclass")
_regression = functools.partial(_metric, "regression")


@_classification(greater_is_better=True)
def accuracy(targets: Array, predictions: Array) -> float:
    """Share of rows whose likeliest class is the true one."""
    return np.count_nonzero(predictions.argmax(axis=1) == targets) / len(targets)


@_classification(greater_is_better=True)
def balanced_accuracy(targets: Array, predictions: Array) -> float:
    """Mean over classes of the share of their rows that is found.

    Classes without rows are left out.
    """
    actual, _, hits = _counts(targets, predictions)
    return float((hits[actual > 0] / actual[actual > 0]).mean())


@_classification(greater_is_better=True)
def f1(targets: Array, predictions: Array) -> float:
    """Harmonic mean of precision and recall: of the second class, or the mean over all.

    With two classes that of the second one, 0 where it neither occurs nor is predicted; with more the mean over those
    that occur or are predicted.
    """
    actual, predicted, hits = _counts(targets, predictions)
    scores = 2 * hits / np.maximum(actual + predicted, 1)
    return float(scores[1] if len(scores) == 2 else scores[actual + predicted > 0].mean())


@_classification(greater_is_better=True)
def roc_auc(targets: Array, predictions: Array) -> float:
    """Chance that a row of a class is ranked above a row of another; 0.5 is guessing.

    With two classes that of the second one; with more the mean over classes against the rest. A class that no row, or
    every row, belongs to is left out; NaN where none is left. Ties count one half.
    """
    classes = [1] if predictions.shape[1] == 2 else range(predictions.shape[1])
    return _mean(_ranked_above(targets == each, predictions[:, each]) for each in classes)


@_classification(greater_is_better=False)
def log_loss(targets: Array, predictions: Array) -> float:
    """Mean of -log p of the true class; a p of 0 counts as the smallest step from 1."""
    smallest = np.finfo(predictions.dtype).eps
    of_target = predictions[np.arange(len(targets)), targets]
    return -float(np.log(of_target.clip(smallest, 1 - smallest)).mean())


@_classification(greater_is_better=False)
def brier(targets: Array, predictions: Array) -> float:
    """Mean squared distance of probabilities from the truth.

    Summed over classes; with two classes that of the second one alone, which is half of it.
    """
    distance = np.array(predictions)
    distance[np.arange(len(targets)), targets] -= 1
    return float(np.vdot(distance, distance)) / len(targets) / (2 if predictions.shape[1] == 2 else 1)


@_regression(greater_is_better=False)
def rmse(targets: Array, predictions: Array) -> float:
    """Root of the mean squared error, in the target's unit."""
    error = predictions - targets
    return math.sqrt(np.dot(error, error) / len(error))


@_regression(greater_is_better=False)
def mae(targets: Array, predictions: Array) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.abs(predictions - targets).mean())


@_regression(greater_is_better=False)
def mape(targets: Array, predictions: Array) -> float:
    """Mean absolute error as a share of the target; targets of 0 make it huge."""
    smallest = np.finfo(np.float64).eps
    return float((np.abs(predictions - targets) / np.maximum(np.abs(targets), smallest)).mean())


@_regression(greater_is_better=True)
def r2(targets: Array, predictions: Array) -> float:
    """Share of the target's variance that is explained; 0 is predicting the mean.

    Where all targets are equal, 1 if they are met and else 0; NaN with one row.
    """
    if len(targets) < 2:
        return math.nan
    error, spread = predictions - targets, targets - targets.mean()
    if targets.min() == targets.max():
        return float(not error.any())
    return 1 - float(np.dot(error, error) / np.dot(spread, spread))


def _counts(targets: Array, predictions: Array) -> tuple[Array, Array, Array]:
    """Rows of each class, rows taken for it, and rows rightly so."""
    classes, chosen = predictions.shape[1], predictions.argmax(axis=1)
    return (
        np.bincount(targets, minlength=classes),
        np.bincount(chosen, minlength=classes),
        np.bincount(targets[chosen == targets], minlength=classes),
    )


def _ranked_above(positive: Array, scores: Array) -> float:
    """Mann and Whitney's statistic from average ranks, as a share of all pairs; NaN without pairs."""
    rows, positives = len(scores), int(np.count_nonzero(positive))
    pairs = positives * (rows - positives)
    if not pairs:
        return math.nan
    order = scores.argsort()
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))  # of groups of equal scores
    ranks = (starts + np.append(starts[1:], rows) + 1) / 2
    total = np.dot(ranks, np.add.reduceat(positive[order].astype(np.int64), starts))
    return float((total - positives * (positives + 1) / 2) / pairs)


def _mean(values: Iterable[float]) -> float:
    """Mean of those that are numbers; NaN where there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
