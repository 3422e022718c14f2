from __future__ import annotations

import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.cells import (
    as_dates,
    as_numbers,
    as_truth,
    as_words,
    check_plain,
    distinct,
    holds_arrays,
    is_picture,
    is_sound,
    word,
)
from autodl.errors import DataError

NAN = float("nan")


def column(*cells, dtype=object) -> pd.Series:
    return pd.Series(list(cells), dtype=dtype, name="age")


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (column("3", " 4.5 ", "1e2", "x", "", None), [3, 4.5, 100, NAN, NAN, NAN]),
        (column(1, 2.5, True, decimal.Decimal("1.5"), np.float32(0.5)), [1, 2.5, 1, 1.5, 0.5]),
        (column("inf", 10**400, float("-inf")), [np.inf, np.inf, -np.inf]),
        (column(1, None, dtype="Int64"), [1, NAN]),
        (column(True, None, dtype="boolean"), [1, NAN]),
        (column("1", "2", dtype="category"), [1, 2]),
        (column("1", None, "b", dtype="str"), [1, NAN, NAN]),
        (column(datetime.timedelta(hours=36), "x"), [1.5, NAN]),
        (pd.Series(pd.to_timedelta(["36h", None])), [1.5, NAN]),
        (pd.Series(pd.to_datetime(["2020-01-01"])), [NAN]),
        (column(3, 4, dtype="uint8"), [3, 4]),
    ],
)
def test_numbers(cells, numbers):
    read = as_numbers(cells)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (column("a", " b ", "", "  ", None), ["a", " b ", None, None, None]),
        (column(1, 2.0, 2.5, True, None), ["1", "2", "2.5", "1", None]),  # True is 1 to pandas
        (column(94103, None, dtype="float64"), ["94103", None]),
        (column(94103, dtype="int64"), ["94103"]),
        (column(True, False, dtype="bool"), ["True", "False"]),
        (column("a", None, dtype="category"), ["a", None]),
        (column("a", None, dtype="str"), ["a", None]),
        (column(datetime.date(2020, 1, 2), uuid.UUID(int=1)), ["2020-01-02", "00000000-0000-0000-0000-000000000001"]),
    ],
)
def test_words(cells, words):
    read = as_words(cells)
    assert read.dtype == object
    assert read.tolist() == words


def test_truth():
    cells = column("yes", "NO", "True", "off", "t", 1, 0, 2, "maybe", None)
    np.testing.assert_array_equal(as_truth(cells), [1, 0, 1, 0, 1, 1, 0, NAN, NAN, NAN])


@pytest.mark.parametrize(
    "cells",
    [
        column("2020-01-02", None),
        column("02.01.2020", None),
        column(datetime.date(2020, 1, 2), None),
        column(datetime.datetime(2020, 1, 2), None),
        column(pd.Timestamp("2020-01-02"), pd.NaT),
        pd.Series(pd.to_datetime(["2020-01-02", None])),
        pd.Series(pd.to_datetime(["2020-01-02", None])).dt.tz_localize("UTC"),
        pd.Series(pd.PeriodIndex(["2020-01-02", None], freq="D")),
        column(20200102, None, dtype="Int64"),
    ],
)
def test_dates(cells):
    dates = as_dates(cells)
    assert dates.dtype == np.dtype("datetime64[ns]")
    assert dates[0] == np.datetime64("2020-01-02")
    assert np.isnat(dates[1])


@pytest.mark.parametrize(
    ("cells", "held"),
    [
        ((1, [2], [3]), "2 of 3 cells hold lists"),
        (({"a": 1}, "x"), "1 of 2 cells hold dicts"),
        (((1,), "x"), "1 of 2 cells hold tuples"),
        ((b"x", "x"), "1 of 2 cells hold bytes"),
        ((1j, 2), "1 of 2 cells hold complex numbers"),
        ((np.zeros(3), None), r"1 of 2 cells hold arrays \(an image is one of uint8"),
        ((np.zeros((2, 2), np.uint8), None), "1 of 2 cells hold arrays"),
    ],
)
def test_cells_that_no_column_may_hold_are_refused(cells, held):
    with pytest.raises(DataError, match=f"column 'age' must hold .* however {held}.*; drop it with --ignore age"):
        check_plain(column(*cells))


def test_a_complex_column_is_refused():
    with pytest.raises(DataError, match="hold complex numbers"):
        check_plain(column(1j, dtype="complex128"))


def test_pictures_are_plain_only_where_they_may_be():
    cells = column(np.zeros((2, 3), np.uint8), None, np.zeros((2, 3, 3), np.uint8))
    check_plain(cells, "image")
    with pytest.raises(DataError, match="2 of 3 cells hold arrays"):
        check_plain(cells)


def test_sounds_are_plain_only_where_they_may_be():
    cells = column(np.zeros(4), None, np.zeros(3, np.int16), "a.wav")
    check_plain(cells, "audio")
    for kind in ("image", ""):
        with pytest.raises(DataError, match=r"2 of 4 cells hold arrays .* a sound one of int16 or float"):
            check_plain(cells, kind)
    assert holds_arrays(cells, "audio")
    assert not any(holds_arrays(cells, kind) for kind in ("image", "text"))


@pytest.mark.parametrize(
    ("array", "sound"),
    [
        (np.zeros(4), True),
        (np.zeros(4, np.float16), True),
        (np.zeros(4, np.int16), True),
        (np.zeros(0, np.float32), True),
        (np.zeros(4, np.int32), False),
        (np.zeros((4, 2)), False),
        (np.zeros(4, complex), False),
        ("a.wav", False),
    ],
)
def test_what_a_sound_is(array, sound):
    assert is_sound(array) is sound


@pytest.mark.parametrize(
    ("array", "picture"),
    [
        (np.zeros((4, 5), np.uint8), True),
        (np.zeros((4, 5, 3), np.uint8), True),
        (np.zeros((4, 5, 4), np.uint8), False),
        (np.zeros((4, 5)), False),
        (np.zeros((0, 5), np.uint8), False),
        (np.zeros(4, np.uint8), False),
        ("a.png", False),
    ],
)
def test_what_a_picture_is(array, picture):
    assert is_picture(array) is picture


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.booleans() | st.dates(),
        min_size=1,
        max_size=8,
    )
)
def test_any_plain_cells_can_be_read_as_anything(cells):
    series = column(*cells)
    check_plain(series)
    for read in (as_numbers, as_words, as_truth, as_dates):
        assert read(series).shape == (len(cells),)


@given(st.lists(st.none() | st.text(max_size=2), min_size=1))
def test_distinct_values_rebuild_the_column(cells):
    codes, values = distinct(column(*cells))
    assert len(set(values)) == len(values)
    assert [None if code < 0 else values[code] for code in codes] == cells


def test_one_word():
    assert (word(3.0), word(np.int64(4)), word("x"), word(" "), word(0.5)) == ("3", "4", "x", None, "0.5")
