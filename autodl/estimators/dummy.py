"""The same answer for every row: class shares, the mean, or quantiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from autodl.contracts import Estimator
from autodl.estimators._answers import shares, weighted_quantiles
from autodl.records import TaskKind


class Dummy(Estimator):
    """What is known without looking at a row: whatever is worse has learnt nothing."""

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(
        {"binary", "multiclass", "multilabel", "regression", "multioutput", "quantile"}
    )
    baseline = True

    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """As the contract says."""
        if self.task.is_classification:
            self.learnt = shares(targets, len(self.task.classes), weights)
        elif self.task.kind == "quantile":
            own = np.ones(len(targets)) if weights is None else weights
            self.learnt = weighted_quantiles(targets[None], own[None], self.task.quantiles)[0]
        else:
            self.learnt = np.atleast_1d(np.average(targets, axis=0, weights=weights))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As the contract says."""
        answers = np.tile(self.learnt, (len(x), 1))
        return answers[:, 0] if self.task.kind == "regression" else answers
