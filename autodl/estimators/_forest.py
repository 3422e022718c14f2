"""Forests: many trees grown independently, whose answers are averaged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from autodl.estimators._answers import join, n_classes, shares, split, spread
from autodl.estimators._prepared import Prepared
from autodl.estimators._trees import Trees, nodes_of_forest, pack
from autodl.records import TaskKind

_TREES = (50, 100)  # the more rows, the fewer, as trees grow with the rows
_NODES = 2_000_000  # rows × trees beyond which there are fewer trees
_SLICE = 100_000  # rows × trees that are grown between two looks at the clock
_MOST = 25


class Forest(Prepared):
    """One forest for all targets, grown a few trees at a time.

    Probabilities are those of the forest and one more tree, which knows the classes' shares alone: none is exactly 0
    unless the training rows lack the class. A quantile of such averages would not be honest.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(
        {"binary", "multiclass", "multilabel", "regression", "multioutput"}
    )

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        """Up to what takes a minute."""
        return rows <= 300_000 and rows * features <= 50_000_000

    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """As the contract says."""
        classes = n_classes(self.task)
        y = targets.astype(np.int64) if classes else targets
        model = self._model(classifies=bool(classes))
        model.set_params(warm_start=True, n_jobs=1, random_state=self.seed % 2**32, **self.settings)
        trees = min(max(_NODES // len(x), _TREES[0]), _TREES[1])
        slice_ = min(max(_SLICE // len(x), 1), _MOST)
        columns = split(self.task, y) if classes else []
        for grown in range(slice_, trees + slice_, slice_):
            model.set_params(n_estimators=min(grown, trees))
            model.fit(x, y, sample_weight=weights)
            if stop():
                break
        labels = [] if not classes else list(model.classes_) if y.ndim == 2 else [model.classes_]
        self.learnt = {
            "trees": pack([nodes_of_forest(tree.tree_) for tree in model.estimators_], x.shape[1]),
            "labels": labels,
            "shares": [shares(column, classes, weights) for column in columns],
        }

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As the contract says."""
        total: Any = 0.0
        for answers in self._trees.answers(x):
            total = total + answers
        mean, classes = total / len(self._trees), n_classes(self.task)
        if not classes:
            return np.asarray(mean[:, 0, 0] if self.task.kind == "regression" else mean[:, :, 0])
        parts = zip(self.learnt["labels"], self.learnt["shares"], strict=True)
        found = [
            self._smooth(spread(mean[:, column, : len(labels)], labels, classes), share)
            for column, (labels, share) in enumerate(parts)
        ]
        return join(self.task, found)

    def _prepare(self, found: Any) -> None:
        self._trees = Trees(found["trees"])

    def _smooth(self, probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
        trees = len(self._trees)
        return np.asarray((trees * probabilities + prior) / (trees + 1))

    @abstractmethod
    def _model(self, *, classifies: bool) -> Any:
        """Return scikit-learn's forest, with nothing learnt."""
