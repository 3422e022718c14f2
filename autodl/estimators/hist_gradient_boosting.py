"""Gradient boosting on binned features: each tree mends what those before miss."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from autodl.estimators._answers import n_classes, sigmoid, softmax
from autodl.estimators._codes import Coded
from autodl.estimators._one_by_one import OneByOne
from autodl.estimators._trees import Trees, nodes_of_boosting, pack
from autodl.records import TaskKind
from autodl.space import Float, Integer, Space

_SLICE = 0.5  # seconds, about, between two looks at the clock
_LEAF, _CELL = 5e-5, 5e-9  # seconds that a tree takes for each leaf, and for each cell of the training rows
_BINS, _FEW = (128, 255), 10_000  # bins of a feature: half of them do for few rows, and take less time
_LEAST = 10  # trees a slice: fewer, and the features are binned too often


class HistGradientBoosting(Coded, OneByOne):
    """scikit-learn's histogram gradient boosting, without early stopping: the number of trees is a knob.

    Reference:
        Ke et al.: LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
    """

    space: ClassVar[Space] = Space(
        learning_rate=Float(
            *(0.01, 0.3), log=True, default=0.06, limits=(1e-4, 1.0), doc="share of each tree's answer that is added"
        ),
        max_iter=Integer(50, 500, log=True, default=150, limits=(1, 10_000), doc="trees, of each class where several"),
        max_leaf_nodes=Integer(
            4, 127, log=True, default=15, limits=(2, 4096), doc="largest number of leaves of a tree"
        ),
        min_samples_leaf=Integer(
            2, 100, log=True, default=10, limits=(1, 100_000), doc="fewest training rows of a leaf"
        ),
        l2_regularization=Float(
            1e-2, 100.0, log=True, default=5.0, limits=(0.0, 1e6), doc="how strongly a leaf's answer is drawn to zero"
        ),
        max_features=Float(
            0.2, 1.0, default=0.5, limits=(0.01, 1.0), doc="share of the features, drawn anew, that each split sees"
        ),
    )
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(
        {"binary", "multiclass", "multilabel", "regression", "multioutput", "quantile"}
    )
    baseline = True

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        """Up to what takes minutes."""
        return rows * features <= 200_000_000

    def _measure(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"empty": np.isnan(x).all(axis=0)}

    def _seen(self, x: np.ndarray, measures: dict[str, np.ndarray]) -> np.ndarray:
        """Gaps are a bin of their own, but a feature of nothing but gaps has no bins to learn from."""
        return np.where(measures["empty"], np.float32(0), x)

    def _learner(self, position: int, x: np.ndarray, labels: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        common = {
            **self.settings,
            "max_iter": 0,
            "max_bins": _BINS[len(x) >= _FEW],
            "early_stopping": False,
            "warm_start": True,
            "random_state": (self.seed + position) % 2**32,
        }
        if labels:
            return HistGradientBoostingClassifier(**common)
        if self.task.kind == "quantile":
            return HistGradientBoostingRegressor(loss="quantile", quantile=self.task.quantiles[position], **common)
        return HistGradientBoostingRegressor(**common)

    def _go_on(self, model: Any, x: np.ndarray, column: np.ndarray, weights: np.ndarray | None, turn: int) -> bool:
        trees = max(int(_SLICE / (_LEAF * self.settings["max_leaf_nodes"] + _CELL * x.size)), _LEAST)
        rounds = max(trees // (len(self.task.classes) if self.task.kind == "multiclass" else 1), 1)
        wanted: int = self.settings["max_iter"]
        grown = min((turn + 1) * rounds, wanted)
        model.set_params(max_iter=grown)
        model.fit(x, column, sample_weight=weights)
        return grown < wanted

    def _found_by(self, model: Any) -> Any:
        trees = [nodes_of_boosting(each) for round_ in model._predictors for each in round_]
        return {"trees": pack(trees, model.n_features_in_), "baseline": model._baseline_prediction.ravel()}

    def _answering_by(self, found: Any) -> Callable[[np.ndarray], np.ndarray]:
        trees, baseline = Trees(found["trees"]), np.asarray(found["baseline"], np.float64)
        return functools.partial(_answer, trees, baseline, probabilities=bool(n_classes(self.task)))


def _answer(trees: Trees, baseline: np.ndarray, x: np.ndarray, *, probabilities: bool) -> np.ndarray:
    """The sum of the baseline and all trees, which take turns to add to each of its entries."""
    sums = np.tile(baseline[:, None], len(x))
    for number, answers in enumerate(trees.answers(x)):
        sums[number % len(sums)] += answers
    if not probabilities:
        return np.asarray(sums[0])
    return softmax(sums.T) if len(sums) > 1 else sigmoid(sums[0])
