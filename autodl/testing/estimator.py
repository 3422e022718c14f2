"""What every estimator owes: subclass ``EstimatorSuite`` with one fixture, and pytest does the rest.

Example:
    >>> class TestMine(EstimatorSuite):  # doctest: +SKIP
    ...     estimator = pytest.fixture(lambda self: MyEstimator)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from autodl.contracts import Estimator
from autodl.records import Task, TaskKind
from autodl.testing.encoder import edges

ROWS, FEATURES = 80, 4
TASKS: dict[TaskKind, Task] = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c", "d")),
    "multilabel": Task("y", "multilabel", further=("z",)),
    "regression": Task("y", "regression"),
    "multioutput": Task("y", "multioutput", further=("z",)),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)),
}


@dataclass(frozen=True, eq=False)
class Known:
    """Rows of one task, and their targets. The second class of ``multiclass`` has no row."""

    task: Task
    x: np.ndarray
    targets: np.ndarray

    @classmethod
    def drawn(cls, kind: TaskKind) -> Known:
        """Return rows, drawn with a fixed seed, whose first feature decides the targets; some cells are missing."""
        generator = np.random.default_rng(0)
        x = generator.normal(size=(ROWS, FEATURES)).astype(np.float32)
        signal = x[:, 0].astype(np.float64)
        x[::9, 2] = np.nan
        x[5] = np.nan
        targets: dict[TaskKind, np.ndarray] = {
            "binary": (signal > 0).astype(np.int64),
            "multiclass": np.array([0, 2, 3])[np.digitize(signal, [-0.5, 0.5])],
            "multilabel": np.stack([signal > 0, signal < -0.5], axis=1).astype(np.float64),
            "regression": signal,
            "multioutput": np.stack([signal, -signal], axis=1),
            "quantile": signal,
        }
        return cls(TASKS[kind], x, targets[kind])

    def fitted(
        self,
        estimator: type[Estimator],
        settings: Mapping[str, Any] | None = None,
        weights: np.ndarray | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Estimator:
        """The estimator, fitted on the rows; at its defaults unless settings are given."""
        found = estimator(self.task, 1, **(estimator.space.defaults() if settings is None else settings))
        found.fit(self.x, self.targets, weights, stop)
        return found

    def begun(
        self, estimator: type[Estimator], settings: Mapping[str, Any] | None = None, weights: np.ndarray | None = None
    ) -> Estimator:
        """The estimator, stopped as early as can be, which most tests can do with."""
        return self.fitted(estimator, settings, weights, stop=lambda: True)

    def loss(self, answers: np.ndarray) -> float:
        """Log loss, squared error or pinball loss of predictions for the rows: lower is better."""
        if self.task.is_classification:
            return float(-np.log(np.maximum(answers[np.arange(len(answers)), self.targets], 1e-9)).mean())
        if self.task.kind == "multilabel":
            right = np.where(self.targets == 1, answers, 1 - answers)
            return float(-np.log(np.maximum(right, 1e-9)).mean())
        if self.task.kind == "quantile":
            gap, levels = self.targets[:, None] - answers, np.array(self.task.quantiles)
            return float(np.maximum(levels * gap, (levels - 1) * gap).mean())
        return float(np.square(answers - self.targets).mean())

    def check(self, answers: np.ndarray, rows: int = ROWS) -> None:
        """Predictions are as ``Task`` says."""
        one = self.task.kind == "regression"
        assert answers.shape == ((rows,) if one else (rows, self.task.n_outputs))
        assert np.isfinite(answers).all()
        if self.task.is_classification or self.task.kind == "multilabel":
            assert ((answers >= 0) & (answers <= 1)).all()
        if self.task.is_classification:
            np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
        if self.task.kind == "quantile":
            assert (np.diff(answers, axis=1) >= 0).all()


@functools.lru_cache(maxsize=64)
def fitted_at_defaults(estimator: type[Estimator], kind: TaskKind) -> Estimator:
    """An estimator that several tests look at, and none changes."""
    return Known.drawn(kind).fitted(estimator)


class EstimatorSuite:
    """Tests of one estimator; a subclass, or its module, has the fixture ``estimator``: the class."""

    @pytest.fixture(params=TASKS)
    def known(self, estimator: type[Estimator], request: pytest.FixtureRequest) -> Known:
        """Rows of each task that the estimator takes."""
        if request.param not in estimator.tasks:
            pytest.skip(f"it does not predict {request.param}")
        return Known.drawn(request.param)

    def test_it_says_what_it_takes(self, estimator: type[Estimator]) -> None:
        """Each knob says what it does and allows its default; a small table is accepted."""
        assert estimator.tasks
        assert estimator.tasks <= TASKS.keys()
        assert estimator.accepts(ROWS, FEATURES)
        for name, knob in estimator.space.items():
            assert knob.doc, f"{name} must have a doc"
            assert knob.allows(knob.center()), f"the default of {name} must be a value of it"

    def test_predictions_are_as_the_task_says(self, estimator: type[Estimator], known: Known) -> None:
        """At every edge of the space, for rows and features that are missing too, for one row, and however early it
        is stopped.
        """
        gone = known.x.copy()
        gone[:, 0] = np.nan
        for settings in edges(estimator.space):
            fitted = known.begun(estimator, settings)
            known.check(fitted.predict(known.x))
            known.check(fitted.predict(gone))
            known.check(fitted.predict(known.x[:1]), rows=1)

    def test_a_feature_may_be_missing_in_all_training_rows(self, estimator: type[Estimator], known: Known) -> None:
        """It may come in a later row all the same."""
        x = known.x.copy()
        x[:, 1] = np.nan
        known.check(replace(known, x=x).begun(estimator).predict(known.x))

    def test_it_learns(self, estimator: type[Estimator], known: Known) -> None:
        """What has knobs beats one answer for all rows; what has none is no worse."""
        same = replace(known, x=np.zeros_like(known.x))
        one_answer = known.loss(same.begun(estimator).predict(same.x))
        answers = fitted_at_defaults(estimator, known.task.kind).predict(known.x)
        assert known.loss(answers) <= (0.9 if estimator.space else 1.0) * one_answer + 1e-9

    def test_a_class_that_is_not_there_has_probability_zero(self, estimator: type[Estimator]) -> None:
        """And all other classes have one above zero, for every row."""
        known = Known.drawn("multiclass")
        if "multiclass" in estimator.tasks:
            answers = fitted_at_defaults(estimator, "multiclass").predict(known.x)
            assert (answers[:, 1] == 0).all()
            assert (answers[:, [0, 2, 3]] > 0).all()

    @pytest.mark.parametrize("kind", ["binary", "multilabel"])
    def test_training_rows_may_be_all_alike(self, estimator: type[Estimator], kind: TaskKind) -> None:
        """One class alone, and labels that all rows or none have, are predicted as they are."""
        if kind in estimator.tasks:
            known = Known.drawn(kind)
            targets = np.ones_like(known.targets)
            targets[..., -1] = 1 if kind == "binary" else 0
            answers = replace(known, targets=targets).begun(estimator).predict(known.x)
            np.testing.assert_allclose(
                answers, np.broadcast_to([0.0, 1.0] if kind == "binary" else [1.0, 0.0], answers.shape)
            )

    def test_the_same_seed_gives_the_same_numbers(self, estimator: type[Estimator], known: Known) -> None:
        """In two fits of two objects."""
        first, second = (known.begun(estimator).predict(known.x) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_weights_count(self, estimator: type[Estimator]) -> None:
        """Of rows that contradict each other the heavy ones are believed."""
        for kind in sorted(estimator.tasks & {"binary", "regression"}):
            task = TASKS[kind]
            x = np.repeat(np.random.default_rng(0).normal(size=(ROWS // 2, FEATURES)), 2, axis=0).astype(np.float32)
            targets = np.tile([0, 1], ROWS // 2).astype(np.int64 if kind == "binary" else np.float64)
            known = Known(task, x, targets)
            heavy = [np.tile(pair, ROWS // 2) for pair in ([1000.0, 1.0], [1.0, 1000.0])]
            low, high = (known.begun(estimator, weights=weights).predict(x) for weights in heavy)
            rises = (high - low)[:, 1] if kind == "binary" else high - low
            assert (rises > 0.5).mean() > 0.9, kind

    def test_what_is_learnt_is_all_that_predicts(self, estimator: type[Estimator], known: Known) -> None:
        """Through skops, which trusts all of it, another object of the same settings predicts the same."""
        import skops.io

        fitted = fitted_at_defaults(estimator, known.task.kind)
        data = skops.io.dumps(fitted.learnt)
        assert not skops.io.get_untrusted_types(data=data), "what skops does not trust by itself is not loaded"
        again = estimator(known.task, 1, **estimator.space.defaults())
        again.learnt = skops.io.loads(data)
        np.testing.assert_array_equal(fitted.predict(known.x), again.predict(known.x))
