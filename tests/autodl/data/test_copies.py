from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.copies import copies_of_target
from autodl.records import Column, Task

ROWS = 60
RNG = np.random.default_rng(0)
NUMBERS = RNG.lognormal(size=ROWS)
CLASSES = np.array([0, 1, 2] * 20)


def found(cells, kind, targets, classes=0) -> str:
    dtype = object if kind in ("category", "text") else None
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=dtype)})
    task = Task("y", "multiclass" if classes else "regression", tuple(range(classes)))
    return copies_of_target(frame, (Column("x", kind),), targets, task).get("x", "")


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1.0, "equal to the target"), (0.01, "the target, divided by 100"), (-2.0, "divided by -0.5")],
)
def test_proportional_numbers_are_found(factor, reason):
    assert reason in found(NUMBERS * factor, "number", NUMBERS)


def test_huge_numbers_do_not_overflow():
    assert found(NUMBERS * 1e300, "number", NUMBERS * 1e-300)


def test_a_few_missing_cells_do_not_hide_a_copy():
    cells = NUMBERS.copy()
    cells[:3] = np.nan
    assert found(cells, "number", NUMBERS) == "equal to the target"
    cells[:10] = np.nan
    assert found(cells, "number", NUMBERS) == ""


@pytest.mark.parametrize(
    "cells",
    [NUMBERS + 1, np.log(NUMBERS), NUMBERS * (1 + 1e-5 * RNG.normal(size=ROWS)), np.zeros(ROWS), np.full(ROWS, np.nan)],
)
def test_other_numbers_are_features(cells):
    assert found(cells, "number", NUMBERS) == ""


def test_one_value_a_class_is_found_in_every_kind():
    for cells, kind in (
        (np.array(["cat", "dog", "emu"])[CLASSES], "category"),
        (CLASSES * 10.0, "number"),
        (np.array(["2020-01-01", "2021-01-01", "2022-01-01"], dtype="datetime64[ns]")[CLASSES], "date"),
    ):
        assert found(cells, kind, CLASSES, 3) == "one value for each class of the target"
    assert found((CLASSES == 1).astype(float), "boolean", (CLASSES == 1).astype(np.int64), 2)


def test_one_row_that_differs_is_enough():
    cells = CLASSES * 10.0
    cells[0] = 10
    assert found(cells, "number", CLASSES, 3) == ""


def test_finer_and_coarser_columns_are_features():
    assert found([f"{c}{row % 2}" for row, c in enumerate(CLASSES)], "category", CLASSES, 3) == ""
    assert found((CLASSES > 0).astype(float), "boolean", CLASSES, 3) == ""


def test_texts_are_not_looked_at():
    assert found(np.array(["cat", "dog", "emu"])[CLASSES], "text", CLASSES, 3) == ""


def test_a_copy_of_any_of_several_targets_is_found():
    frame = pd.DataFrame({"x": NUMBERS * 2, "z": CLASSES.astype(float), "flag": (CLASSES == 1).astype(float)})
    columns = (Column("x", "number"), Column("z", "number"), Column("flag", "boolean"))
    numbers = copies_of_target(
        frame, columns, np.stack([CLASSES + 5.0, NUMBERS], 1), Task("a", "multioutput", further=("b",))
    )
    assert numbers == {"x": "'b', divided by 0.5"}
    labels = copies_of_target(
        frame, columns, np.stack([CLASSES == 0, CLASSES == 1], 1).astype(float), Task("a", "multilabel", further=("b",))
    )
    assert labels == {"flag": "one value for each class of 'b'"}
