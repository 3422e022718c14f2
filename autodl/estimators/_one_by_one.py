"""Learners that predict one column at a time: several targets, labels or quantiles get one each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from autodl.estimators._answers import join, n_classes, split, spread
from autodl.estimators._prepared import Prepared


class OneByOne(Prepared):
    """Trains its learners in turns, a slice each, so that all stand when the time is up.

    ``learnt`` has, for each column, the labels that it holds and what its learner found; where all rows have one label
    there is nothing to learn, and no learner.
    """

    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """As the contract says."""
        measures = self._measure(x)
        seen, columns = self._seen(x, measures), split(self.task, targets)
        labels = [
            np.unique(each).astype(np.int64) if n_classes(self.task) else np.zeros(0, np.int64) for each in columns
        ]
        models = [None if len(own) == 1 else self._learner(at, seen, len(own)) for at, own in enumerate(labels)]
        waiting = [pair for pair in zip(models, columns, strict=True) if pair[0] is not None]
        turn = 0
        while waiting:
            waiting = [(model, column) for model, column in waiting if self._go_on(model, seen, column, weights, turn)]
            turn += 1
            if stop():
                break
        found = [None if model is None else self._found_by(model) for model in models]
        parts = [{"labels": own, "found": each} for own, each in zip(labels, found, strict=True)]
        self.learnt = {"measures": measures, "parts": parts}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As the contract says."""
        seen = self._seen(x, self.learnt["measures"])
        parts = zip(self.learnt["parts"], self._answering, strict=True)
        return join(self.task, [self._answer(part["labels"], answering, seen) for part, answering in parts])

    def _prepare(self, found: Any) -> None:
        known = [part["found"] for part in found["parts"]]
        self._answering = [None if each is None else self._answering_by(each) for each in known]

    def _answer(
        self, labels: np.ndarray, answering: Callable[[np.ndarray], np.ndarray] | None, seen: np.ndarray
    ) -> np.ndarray:
        answers = np.ones((len(seen), 1)) if answering is None else answering(seen)
        classes = n_classes(self.task)
        return spread(answers, labels, classes) if classes else np.asarray(answers, np.float64)

    def _measure(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What ``_seen`` must know of the training rows."""
        return {}

    def _seen(self, x: np.ndarray, measures: dict[str, np.ndarray]) -> np.ndarray:
        """The features as the learners take them."""
        return x

    @abstractmethod
    def _learner(self, position: int, x: np.ndarray, labels: int) -> Any:
        """Return the learner for one column, with nothing learnt; ``labels`` is 0 where it holds numbers."""

    @abstractmethod
    def _go_on(self, model: Any, x: np.ndarray, column: np.ndarray, weights: np.ndarray | None, turn: int) -> bool:
        """Learn a slice more, the first in turn 0; return whether there is more to learn."""

    @abstractmethod
    def _found_by(self, model: Any) -> Any:
        """Return what a learner has learnt as numbers and arrays in plain containers."""

    @abstractmethod
    def _answering_by(self, found: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Return what answers rows with it: numbers, or a probability for each label; raise where it cannot."""
