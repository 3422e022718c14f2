"""Linear model: logistic regression for classes and labels, ridge for numbers."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from autodl.estimators._answers import n_classes, sigmoid, softmax
from autodl.estimators._one_by_one import OneByOne
from autodl.estimators._standard import measure, standardise
from autodl.records import TaskKind
from autodl.space import Float, Space

_STEPS = 50  # of the logistic solver, between two looks at the clock
_TURNS = 8
_EXACT = 1000  # features up to which ridge is solved at once, in one matrix of that side


class LinearModel(OneByOne):
    """A weighted sum of the features; quantiles have no linear learner that is fast."""

    space: ClassVar[Space] = Space(
        penalty=Float(
            *(1e-2, 1e4),
            log=True,
            default=1.0,
            limits=(1e-6, 1e8),
            doc="how strongly weights are drawn to zero: the factor of half their squared length",
        ),
    )
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(
        {"binary", "multiclass", "multilabel", "regression", "multioutput"}
    )
    baseline = True

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        """Up to what takes seconds."""
        return rows * features <= 100_000_000

    def _measure(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return measure(x)

    def _seen(self, x: np.ndarray, measures: dict[str, np.ndarray]) -> np.ndarray:
        return standardise(x, measures)

    def _learner(self, position: int, x: np.ndarray, labels: int) -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge

        penalty = self.settings["penalty"]
        if labels:
            return LogisticRegression(C=1 / penalty, max_iter=_STEPS, warm_start=True, tol=1e-3)
        return Ridge(alpha=penalty, solver="cholesky" if x.shape[1] <= _EXACT else "lsqr", max_iter=_STEPS * _TURNS)

    def _go_on(self, model: Any, x: np.ndarray, column: np.ndarray, weights: np.ndarray | None, turn: int) -> bool:
        from scipy.linalg import LinAlgWarning
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            # Steps are limited on purpose, and features that say the same are what the penalty is for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", LinAlgWarning)
            model.fit(x, column, sample_weight=weights)
        return bool(n_classes(self.task)) and turn + 1 < _TURNS and int(np.max(model.n_iter_)) >= _STEPS

    def _found_by(self, model: Any) -> Any:
        return {"weights": np.atleast_2d(model.coef_), "offset": np.atleast_1d(model.intercept_)}

    def _answering_by(self, found: Any) -> Callable[[np.ndarray], np.ndarray]:
        weights, offset = np.asarray(found["weights"], np.float64), np.asarray(found["offset"], np.float64)
        if not (weights.ndim == 2 and offset.shape == weights.shape[:1]):
            raise ValueError("its weights do not fit its offsets")
        return functools.partial(_answer, weights, offset, probabilities=bool(n_classes(self.task)))


def _answer(weights: np.ndarray, offset: np.ndarray, x: np.ndarray, *, probabilities: bool) -> np.ndarray:
    sums = x @ weights.T + offset
    if not probabilities:
        return np.asarray(sums[:, 0])
    return softmax(sums) if sums.shape[1] > 1 else sigmoid(sums[:, 0])
