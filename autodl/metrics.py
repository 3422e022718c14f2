"""Metrics: numbers that say how good predictions are, which way is better, and which tasks they judge.

Each takes targets and predictions as ``autodl.tasks.Task`` describes them for the task's kind. Without rows, or where a
prediction is not finite, all are NaN. With several targets a value is the plain mean of the targets' own values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl import _metric_functions as functions
from autodl.errors import UnknownNameError, unknown_name
from autodl.records import Task, TaskKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

Function: TypeAlias = "Callable[..., float]"

DEFAULTS: dict[TaskKind, str] = {
    "binary": "log_loss",
    "multiclass": "log_loss",
    "multilabel": "log_loss",
    "regression": "rmse",
    "multioutput": "r2",  # the targets' units differ: a mean of errors would follow the largest unit
    "quantile": "pinball",
}


@dataclass(frozen=True)
class Metric:
    """One metric and how to read it.

    Attributes:
        name: As on the command line.
        greater_is_better: Its direction.
        tasks: The kinds of task that it judges.
        function: Targets, predictions → value. In ``METRICS`` it still needs ``levels`` to judge quantiles; as
            ``get_metric`` and ``fitting`` return it, it has them.
        doc: What it says, in one line.
        levels: The quantile levels that it judges; empty for other kinds of task.
    """

    name: str
    greater_is_better: bool
    tasks: frozenset[TaskKind]
    function: Function
    doc: str
    levels: tuple[float, ...] = ()

    def loss(self, value: float) -> float:
        """Return the value turned so that lower is better."""
        return -value if self.greater_is_better else value

    def better(self, value: float, than: float) -> bool:
        """Whether a value beats another; NaN beats nothing, and every number beats NaN."""
        if math.isnan(value) or math.isnan(than):
            return math.isnan(than) and not math.isnan(value)
        return self.loss(value) < self.loss(than)


def get_metric(name: str, task: Task) -> Metric:
    """Return the metric of that name, ready to judge the task's predictions.

    Raises:
        UnknownNameError: No metric is called so, or it does not judge such a task.
    """
    suitable = [metric.name for metric in METRICS.values() if task.kind in metric.tasks]
    if name not in METRICS:
        raise unknown_name("metric", name, suitable)
    metric = METRICS[name]
    if name not in suitable:
        raise UnknownNameError(
            f"the metric must suit the task, however '{name}' is for {' and '.join(sorted(metric.tasks))} and the task "
            f"is {task.kind}; choose one of {', '.join(sorted(suitable))}"
        )
    if task.kind == "quantile":
        function = functools.partial(metric.function, levels=task.quantiles)
        return replace(metric, function=function, levels=task.quantiles)
    return metric


def fitting(task: Task) -> dict[str, Metric]:
    """Return every metric that judges such a task, by name, ready to judge its predictions."""
    return {name: get_metric(name, task) for name, metric in METRICS.items() if task.kind in metric.tasks}


def default_metric(task: Task) -> str:
    """Return the name of the metric that steers a search unless another is asked for."""
    return DEFAULTS[task.kind]


def _metric(function: Function, greater_is_better: bool, *tasks: TaskKind) -> Metric:
    """A metric of a function; the function's first line becomes the metric's."""

    @functools.wraps(function)
    def guarded(targets: Array, predictions: Array, **bound: Any) -> float:
        if not len(targets) or not np.isfinite(predictions).all():
            return math.nan
        with np.errstate(all="ignore"):  # a member far off may overflow to infinity, which is an honest value
            return float(function(targets, predictions, **bound))

    doc = (function.__doc__ or "").split("\n")[0]
    return Metric(function.__name__, greater_is_better, frozenset(tasks), guarded, doc)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric(functions.accuracy, True, "binary", "multiclass", "multilabel"),
        _metric(functions.balanced_accuracy, True, "binary", "multiclass"),
        _metric(functions.f1, True, "binary"),
        _metric(functions.f1_macro, True, "binary", "multiclass", "multilabel"),
        _metric(functions.f1_weighted, True, "binary", "multiclass", "multilabel"),
        _metric(functions.mcc, True, "binary", "multiclass"),
        _metric(functions.roc_auc, True, "binary", "multiclass", "multilabel"),
        _metric(functions.average_precision, True, "binary", "multiclass", "multilabel"),
        _metric(functions.log_loss, False, "binary", "multiclass", "multilabel"),
        _metric(functions.brier, False, "binary", "multiclass", "multilabel"),
        _metric(functions.ece, False, "binary", "multiclass"),
        _metric(functions.rmse, False, "regression", "multioutput", "quantile"),
        _metric(functions.mae, False, "regression", "multioutput", "quantile"),
        _metric(functions.mape, False, "regression", "multioutput"),
        _metric(functions.r2, True, "regression", "multioutput"),
        _metric(functions.pinball, False, "quantile"),
    )
}
