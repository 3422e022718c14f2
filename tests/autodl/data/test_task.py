from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from autodl.data.task import infer_task
from autodl.errors import DataError
from autodl.records import Task

ROWS = 60
RNG = np.random.default_rng(0)


def column(cells, dtype=None) -> pd.Series:
    return pd.Series(list(cells), name="y", dtype=dtype)


def cycle(*values):
    return [values[row % len(values)] for row in range(ROWS)]


@pytest.mark.parametrize(
    ("cells", "kind", "classes"),
    [
        (column(cycle("no", "yes")), "binary", ("no", "yes")),
        (column(cycle(True, False)), "binary", (False, True)),
        (column(cycle(1, 0)), "binary", (0, 1)),
        (column(cycle(0, 1, None)), "binary", (0, 1)),
        (column(cycle(True, False, None), dtype=object), "binary", (False, True)),
        (column(cycle(1.5, 2.5)), "binary", (1.5, 2.5)),
        (column(cycle("c", "a", "b")), "multiclass", ("a", "b", "c")),
        (column(cycle(10, 9, 2)), "multiclass", (2, 9, 10)),
        (column(cycle("10", "9", "2")), "multiclass", ("10", "2", "9")),
        (column(cycle("a", "b", "c"), dtype="category"), "multiclass", ("a", "b", "c")),
        (column([row // 2 for row in range(ROWS)], dtype="category"), "multiclass", tuple(range(30))),
        (column(cycle("a", 1, True, 2.5), dtype=object), "multiclass", ("a", 1, 2.5)),
        (column(RNG.normal(size=ROWS)), "regression", ()),
        (column(cycle(0.1, 0.2, 0.3)), "regression", ()),
        (column(range(ROWS)), "regression", ()),
        (column([row % 20 for row in range(ROWS)]), "regression", ()),
        (column([str(number) for number in RNG.normal(size=ROWS)]), "regression", ()),
    ],
)
def test_task_is_inferred(cells, kind, classes):
    task, why = infer_task(cells)
    assert task.kind == kind
    assert why.startswith("'y' ")
    assert set(task.classes) == set(classes)
    if not any(isinstance(label, str) for label in classes) or all(isinstance(label, str) for label in classes):
        assert task.classes == classes
        assert [type(label) for label in task.classes] == [type(label) for label in classes]
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (column(cycle(1, 2, 3)), "regression"),
        (column(cycle(0, 1)), "regression"),
        (column(cycle(True, False)), "regression"),
        (column([row // 2 for row in range(ROWS)]), "multiclass"),
        (column(cycle("a", "b")), "multiclass"),
        (column(cycle(0.5, 1.5)), "binary"),
    ],
)
def test_what_the_user_says_stands(cells, said):
    assert infer_task(cells, said) == (infer_task(cells, said)[0], "as you said")
    assert infer_task(cells, said)[0].kind == said


@pytest.mark.parametrize(
    ("cells", "said", "message"),
    [
        (column(["a"] * ROWS), None, "at least two values, however all 60 rows hold 'a'; choose another --target"),
        (column([1.5] * 59 + [None]), None, "however all 59 rows hold '1.5'"),
        (column([None] * ROWS, dtype=object), None, "must hold values, however all 60 cells are empty"),
        (column([np.nan] * ROWS), None, "must hold values, however all 60 cells are empty"),
        (column([" "] * ROWS), None, "must hold values, however all 60 cells are empty"),
        (column([*RNG.normal(size=58), np.inf, -np.inf]), None, "must be finite, however 2 of 60 cells hold infinity"),
        (column([f"w{row}" for row in range(ROWS)]), None, "classes with several rows, however all 60 rows differ"),
        (column([f"w{row}" for row in range(1001)] * 2), None, "at most 1,000 classes, however 1,001 came"),
        (column(range(1001)), "multiclass", "at most 1,000 classes, however 1,001 came"),
        (column(cycle("a", "b")), "regression", "numbers for --task regression, however 60 of 60 cells hold words"),
        (column(cycle("a", "b", "c")), "binary", "two values for --task binary, however 3 came"),
        (column(pd.date_range("2020", periods=ROWS)), None, "classes or numbers, however it holds dates"),
        (column([[1]] * ROWS, dtype=object), None, "60 of 60 cells hold lists"),
    ],
)
def test_what_cannot_be_learnt_is_refused(cells, said, message):
    with pytest.raises(DataError, match=message):
        infer_task(cells, said)


def test_quantiles_make_numbers_of_what_would_be_classes():
    for cells in (cycle(1, 2, 3), cycle(0, 1), RNG.normal(size=ROWS)):
        task, why = infer_task(column(cells), None, (0.1, 0.9))
        assert (task.kind, task.quantiles, task.classes) == ("quantile", (0.1, 0.9), ())
        assert why == "as its quantiles are asked for"
    with pytest.raises(DataError, match="must hold numbers for --quantiles, however 60 of 60 cells hold words"):
        infer_task(column(cycle("a", "b")), None, (0.5,))
