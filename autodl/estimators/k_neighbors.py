"""Nearest neighbours: the weighted mean of the rows most like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from autodl.contracts import Estimator
from autodl.estimators._answers import n_classes, shares, weighted_quantiles
from autodl.estimators._standard import measure, standardise
from autodl.records import TaskKind
from autodl.space import Choice, Integer, Space

_TINY = 1e-6  # distance below which rows count as equal


class KNeighbors(Estimator):
    """Votes of the nearest training rows, in standardised features.

    Probabilities are those of the neighbours and one more, whose class is drawn by the classes' shares: none is
    exactly 0 unless the training rows lack the class.
    """

    space: ClassVar[Space] = Space(
        neighbors=Integer(1, 200, log=True, default=20, limits=(1, 10_000), doc="rows that are asked"),
        weighting=Choice("distance", "uniform", doc="whether nearer rows count more, by 1 / distance, or all the same"),
        metric=Choice("euclidean", "manhattan", "cosine", doc="what near means"),
    )
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(
        {"binary", "multiclass", "multilabel", "regression", "multioutput", "quantile"}
    )

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        """Up to what takes half a minute, as every row is compared with every other."""
        return rows * rows * features <= 20_000_000_000

    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """As the contract says; there is nothing to learn but the rows themselves."""
        measures = measure(x)
        self.learnt = {
            "measures": measures,
            "x": standardise(x, measures).astype(np.float32),
            "targets": np.asarray(targets),
            "weights": np.ones(len(x)) if weights is None else np.asarray(weights, np.float64),
        }

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As the contract says."""
        near, weights = self._neighbors(x)
        targets, kind = self.learnt["targets"], self.task.kind
        if kind == "quantile":
            return weighted_quantiles(targets[near], weights, self.task.quantiles)
        if self.task.is_classification:
            hits = np.eye(n_classes(self.task))[targets]
            prior = shares(targets, len(self.task.classes), self.learnt["weights"])
        else:
            hits = targets
            prior = np.average(targets, axis=0, weights=self.learnt["weights"])
        weights /= weights.sum(axis=1, keepdims=True)
        answers = np.stack([own @ hits[rows] for own, rows in zip(weights, near, strict=True)])
        if kind in ("regression", "multioutput"):
            return answers
        asked = near.shape[1]
        return np.asarray((asked * answers + prior) / (asked + 1))

    def _neighbors(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and weights of each row's neighbours. Shape: → rows neighbours, rows neighbours."""
        from sklearn.neighbors import NearestNeighbors

        known = self.learnt["x"]
        count = min(self.settings["neighbors"], len(known))
        finder = NearestNeighbors(n_neighbors=count, metric=self.settings["metric"], n_jobs=1).fit(known)
        distances, near = finder.kneighbors(standardise(x, self.learnt["measures"]).astype(np.float32))
        weights = np.maximum(self.learnt["weights"][near], _TINY)  # so that some row counts, whatever is near
        return near, weights / np.maximum(distances, _TINY) if self.settings["weighting"] == "distance" else weights
