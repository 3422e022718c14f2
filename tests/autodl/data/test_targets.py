from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.targets import encode_targets, missing_targets
from autodl.data.task import infer_task
from autodl.errors import DataError
from autodl.records import Task

ROWS = 60
RNG = np.random.default_rng(0)
LABELS = Task("a", "multilabel", further=("b",))
NUMBERS = Task("a", "multioutput", further=("b",))


def column(cells, dtype=None) -> pd.Series:
    return pd.Series(list(cells), name="y", dtype=dtype)


def encoded(cells: pd.Series, task: Task) -> np.ndarray:
    return encode_targets(cells.to_frame(), task)


def test_the_positive_class_is_the_second_of_the_sorted():
    targets = encoded(column(["yes", "no", "yes"]), infer_task(column(["yes", "no"] * 30))[0])
    assert targets.tolist() == [1, 0, 1]
    assert targets.dtype == np.int64


def test_stray_words_among_numbers_are_missing_targets():
    cells = column([*map(str, RNG.normal(size=97)), "unknown", "?", None], dtype=object)
    task, _ = infer_task(cells)
    assert task.kind == "regression"
    assert missing_targets(encoded(cells, task)).tolist() == [False] * 97 + [True] * 3


def test_missing_targets_are_marked():
    task = Task("y", "binary", ("a", "b"))
    targets = encoded(column(["a", None, "b", " "]), task)
    assert targets.tolist() == [0, -1, 1, -1]
    assert missing_targets(targets).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("classes", "cells"),
    [
        ((0, 1), [0.0, 1.0]),
        ((0, 1), ["0", "1"]),
        (("0", "1"), [0, 1]),
        ((False, True), ["False", "True"]),
        (("False", "True"), [False, True]),
        ((1, 2), [1.0, None]),
    ],
)
def test_labels_are_known_again_in_another_format(classes, cells):
    targets = encoded(column(cells, dtype=object), Task("y", "binary", classes))
    assert targets.tolist() == [0, -1 if cells[1] is None else 1]


def test_an_unseen_class_is_refused():
    with pytest.raises(DataError, match="must hold the classes a, b, however 'c' came"):
        encoded(column(["a", "c"]), Task("y", "binary", ("a", "b")))


def test_an_infinite_number_is_refused():
    with pytest.raises(DataError, match="must be finite, however 1 of 2 cells"):
        encoded(column([1.0, np.inf]), Task("y", "regression"))


@pytest.mark.parametrize("kind", ["regression", "quantile"])
def test_one_number_is_one_column(kind):
    targets = encoded(column([1, None, 2.5]), Task("y", kind, quantiles=(0.5,)))
    np.testing.assert_array_equal(targets, [1.0, np.nan, 2.5])


def test_several_targets_stand_side_by_side():
    table = pd.DataFrame({"b": ["3", "x", "4"], "more": [0] * 3, "a": [1, 2, 3]})
    targets = encode_targets(table, NUMBERS)
    np.testing.assert_array_equal(targets, [[1, 3], [2, np.nan], [3, 4]])
    assert targets.dtype == np.float64
    assert missing_targets(targets).tolist() == [False, True, False]


def test_labels_are_zeros_and_ones_however_written():
    table = pd.DataFrame({"a": ["yes", "No", None, " "], "b": [True, False, True, False]})
    targets = encode_targets(table, LABELS)
    np.testing.assert_array_equal(targets, [[1, 1], [0, 0], [np.nan, 1], [np.nan, 0]])
    assert missing_targets(targets).tolist() == [False, False, True, True]


def test_the_frame_of_the_user_is_not_shared():
    table = pd.DataFrame({"a": [1.0, 0.0], "b": [0.0, 1.0]})
    for task in (LABELS, NUMBERS, Task("a", "regression")):
        encode_targets(table, task)[:] = 7
    assert table["a"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("task", "cells", "message"),
    [
        (LABELS, [0, 2], "'b' must hold 0 and 1, yes and no or true and false, however '2' came"),
        (LABELS, ["yes", "maybe"], "however 'maybe' came; mend or drop these rows"),
        (NUMBERS, [0, np.inf], "'b' must be finite, however 1 of 2 cells hold infinity"),
        (NUMBERS, [[1], [2]], "2 of 2 cells hold lists"),
        (LABELS, [[1], [2]], "2 of 2 cells hold lists"),
    ],
)
def test_what_is_no_target_is_refused(task, cells, message):
    with pytest.raises(DataError, match=message):
        encode_targets(pd.DataFrame({"a": [0, 1], "b": pd.Series(cells)}), task)
