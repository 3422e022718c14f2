from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from autodl.data.kinds import examine
from autodl.errors import DataError

ROWS = 60
RNG = np.random.default_rng(0)
CYCLE = [row % 3 for row in range(ROWS)]
SENTENCES = [f"the {row} quick foxes jump over it" for row in range(ROWS)]
PICTURES = [np.full((2, 2), row, np.uint8) for row in range(ROWS)]


def column(cells, name="x", dtype=None) -> pd.Series:
    return pd.Series(list(cells), name=name, dtype=dtype)


def pick(*cells):
    return [cells[i] for i in RNG.integers(0, len(cells), ROWS - len(cells))] + list(cells)


@pytest.mark.parametrize(
    ("cells", "kind", "reason"),
    [
        (column(RNG.normal(size=ROWS)), "number", "60 distinct numbers"),
        (column(pick(1, 2, 3)), "number", "3 distinct whole numbers, taken as numbers"),
        (column(pick("1", "2.5", "30")), "number", "3 distinct numbers"),
        (column(pick(0, 1)), "boolean", "only 0 and 1"),
        (column(pick(0.0, 1.0, np.nan)), "boolean", "only 0 and 1"),
        (column(pick("yes", "no")), "boolean", "only no and yes"),
        (column(pick("Y", "N", None)), "boolean", "only N and Y"),
        (column(pick(True, False)), "boolean", "only true and false"),
        (column(pick(True, False, None), dtype=object), "boolean", "only False and True"),
        (column(pick("red", "green", "blue")), "category", "3 distinct words"),
        (column(pick("m", "f")), "category", "2 distinct words"),
        (column(pick("a", "b"), dtype="category"), "category", "2 distinct categorical values"),
        (column(pick("no known savings", "<100 and so on", "500 or much more")), "category", "3 distinct words"),
        (column([f"name {row // 2}" for row in range(ROWS)]), "category", "30 distinct words"),
        (column(SENTENCES), "text", "7 words a cell, 60 different cells"),
        (column([f"2020-01-{row % 28 + 1:02}" for row in range(ROWS)]), "date", "dates written as ISO8601"),
        (column(pd.date_range("2020", periods=ROWS)), "date", "dates"),
        (column([datetime.date(2020, 1, 1 + row % 28) for row in range(ROWS)]), "date", "dates written as ISO8601"),
        (column(pd.to_timedelta(range(ROWS), unit="h")), "number", "durations, in days"),
        (column([f"img/{row}.png" for row in range(ROWS)]), "image", "paths that end in .png"),
        (column([f"{row}.{'JPG' if row % 2 else 'png'}" for row in range(ROWS)]), "image", "that end in .jpg .png"),
        (column([f"{row}.wav" if row % 3 else None for row in range(ROWS)]), "audio", "paths that end in .wav"),
        (column(PICTURES, dtype=object), "image", "images as arrays"),
        (column([np.zeros(1600), None, np.zeros(0, np.int16), np.zeros(9999)]), "audio", "16,000 samples a second"),
        (column([None] * ROWS, dtype=object), "ignored", "no cell holds a value"),
        (column([np.nan] * ROWS), "ignored", "no cell holds a finite number"),
        (column([" "] * ROWS), "ignored", "no cell holds a value"),
    ],
)
def test_kind_and_reason(cells, kind, reason):
    finding = examine(cells)
    assert finding.kind == kind
    assert reason in finding.reason
    assert finding.doubt == ""


def test_a_few_stray_words_do_not_turn_numbers_into_words():
    finding = examine(column([*map(str, RNG.normal(size=97)), "abc", "abc", "d"]))
    assert finding.kind == "number"
    assert "3 of 100 cells hold words such as 'abc': missing" in finding.reason


def test_many_stray_words_make_a_category():
    assert examine(column([str(row % 10) for row in range(90)] + ["abc"] * 10)).kind == "category"


def test_marks_of_missing_numbers_are_no_stray_words():
    cells = column([str(number) if row % 3 else "?" for row, number in enumerate(RNG.normal(size=ROWS))])
    assert examine(cells).kind == "number"
    assert examine(column(["?"] * 59 + ["3"])).kind == "category"


def test_infinite_numbers_are_numbers_still():
    assert examine(column([1.5, 2.5, np.inf, 4.5])).reason == "3 distinct numbers"


@pytest.mark.parametrize(
    "cells",
    [
        *(column([7] * ROWS), column([0.5] * ROWS), column(["a"] * ROWS), column([True] * ROWS)),
        *(column(["a"] * ROWS, dtype="category"), column(["2020-01-01"] * ROWS), column(["a.png"] * ROWS)),
        column([pd.Timestamp("2020")] * ROWS),
    ],
)
def test_constant_columns_are_doubted(cells):
    assert examine(cells).doubt == "the same value in every row"


@pytest.mark.parametrize("cells", [column([7.0, np.nan] * 30), column(["a", None] * 30, dtype=object)])
def test_one_value_and_missing_cells_are_not_constant(cells):
    assert examine(cells).doubt == ""


@pytest.mark.parametrize(
    "cells",
    [
        column([f"u{row}" for row in range(ROWS)]),
        column([f"{row:08x}-aa" for row in RNG.permutation(ROWS)]),
        column(RNG.permutation(ROWS)),
        column(range(1000, 1000 + ROWS)),
        column(np.arange(200) * 3 + np.arange(200) % 2),
        column(RNG.choice(10**6, ROWS, replace=False), "customer_id"),
        column(RNG.choice(10**6, ROWS, replace=False), "PassengerId"),
        column([str(row) for row in range(ROWS)]),
        column(np.uint64(2**63) + np.arange(ROWS, dtype=np.uint64)),
    ],
)
def test_ids_are_doubted(cells):
    assert (
        examine(cells).doubt
        == f"all {len(cells)} {'cells' if examine(cells).kind == 'category' else 'whole numbers'} are different: an id"
    )


@pytest.mark.parametrize(
    "cells",
    [
        column(RNG.normal(size=ROWS)),
        column(np.arange(ROWS) / 2),
        column(np.arange(float(ROWS))),
        column(RNG.choice(10**6, ROWS, replace=False), "income"),
        column(RNG.choice(10**6, ROWS, replace=False), "width"),
        column(SENTENCES),
        column([f"img/{row}.png" for row in range(ROWS)]),
        column([f"2020-{row % 12 + 1:02}-{row // 12 + 1:02}" for row in range(ROWS)]),
        column(PICTURES, dtype=object),
    ],
)
def test_measurements_texts_paths_and_dates_are_no_ids(cells):
    assert examine(cells).doubt == ""


@pytest.mark.parametrize("odd", [[1], {"a": 1}, b"x", np.zeros(3)])
def test_lists_and_the_like_are_refused(odd):
    with pytest.raises(DataError, match=r"column 'age' must hold .*1 of 3 cells hold .*drop it with --ignore age"):
        examine(column([1, odd, "a"], "age", dtype=object))


def test_short_arrays_are_no_sounds_unless_one_says_so():
    """Vectors of some kind come as arrays too, and would be a blip each."""
    with pytest.raises(DataError, match="2 of 2 cells hold arrays"):
        examine(column([np.zeros(300), np.zeros(300)], dtype=object))


def test_an_array_beside_pictures_must_be_a_picture():
    with pytest.raises(DataError, match="hold arrays"):
        examine(column([PICTURES[0], np.zeros((2, 2))], dtype=object))
