from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodl.estimators._one_by_one import OneByOne
from autodl.testing.estimator import Known


class Counting:
    """What counts its turns."""

    def __init__(self, position: int) -> None:
        self.position, self.turns = position, 0


class Patient(OneByOne):
    """The learner of column i wants i + 2 turns."""

    def _learner(self, position: int, x: np.ndarray, labels: int) -> Any:
        return Counting(position)

    def _go_on(self, model: Any, x: np.ndarray, column: np.ndarray, weights: np.ndarray | None, turn: int) -> bool:
        assert turn == model.turns
        model.turns += 1
        return model.turns < model.position + 2

    def _found_by(self, model: Any) -> Any:
        return {"turns": model.turns}

    def _answering_by(self, found: Any) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: np.full(len(x), float(found["turns"]))


def turns(known: Known, answers: list[bool]) -> list[float]:
    """The turns that each learner had, where the stop is asked for as often as there are answers."""
    left = iter(answers)
    found = Patient(known.task, 0)
    found.fit(known.x, known.targets, None, lambda: next(left))
    assert not list(left)
    return list(found.predict(known.x[:1])[0])


def test_each_goes_on_until_it_has_learnt_all():
    assert turns(Known.drawn("multioutput"), [False, False, False]) == [2, 3]


def test_all_stand_when_the_time_is_up():
    assert turns(Known.drawn("multioutput"), [True]) == [1, 1]
    assert turns(Known.drawn("multioutput"), [False, True]) == [2, 2]


def test_a_column_of_one_label_has_no_learner():
    known = Known.drawn("binary")
    found = Patient(known.task, 0)
    found.fit(known.x, np.zeros_like(known.targets), None, lambda: False)
    assert found.learnt["parts"][0]["found"] is None
    np.testing.assert_array_equal(found.predict(known.x[:2]), [[1, 0], [1, 0]])
