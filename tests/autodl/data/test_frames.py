from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from autodl.data.frames import fingerprint, from_frame
from autodl.errors import DataError

polars = pytest.importorskip("polars")


def test_a_pandas_frame_is_taken_as_it_is_and_left_as_it_was():
    frame = pd.DataFrame({1: [1.5, 2.5], "b": ["x", None]}, index=["r", "s"])
    before = frame.copy()
    table = from_frame(frame)
    assert table.frame.columns.tolist() == ["1", "b"]
    assert table.frame.index.tolist() == [0, 1]
    assert table.source == "frame"
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_polars_frame_comes_through(lazy):
    frame = polars.DataFrame(
        {
            "n": [1, None, 3],
            "w": ["x", None, "z"],
            "d": [datetime.date(2020, 1, 1), None, None],
            "t": [True, None, False],
        }
    )
    table = from_frame(frame.lazy() if lazy else frame)
    assert table.frame["n"].tolist()[::2] == [1.0, 3.0]
    assert table.frame["w"].isna().tolist() == [False, True, False]
    assert table.frame["d"].dtype.kind == "M"
    assert table.frame["t"].tolist() == [True, None, False]


def test_the_same_rows_have_the_same_fingerprint_in_pandas_and_again():
    frame = pd.DataFrame({"n": [1.0, 2.0], "w": ["x", None], "i": [np.zeros((2, 2), np.uint8), None], "l": [[1], "a"]})
    assert fingerprint(frame) == fingerprint(frame.copy())


@pytest.mark.parametrize(
    "change", [{"n": [1.0, 2.5]}, {"w": ["x", "y"]}, {"i": [np.ones((2, 2), np.uint8), None]}, {"l": [[2], "a"]}]
)
def test_another_cell_is_another_fingerprint(change):
    frame = pd.DataFrame({"n": [1.0, 2.0], "w": ["x", None], "i": [np.zeros((2, 2), np.uint8), None], "l": [[1], "a"]})
    other = frame.copy()
    for name, cells in change.items():
        other[name] = pd.Series(cells, dtype=frame[name].dtype)
    assert fingerprint(frame) != fingerprint(other)


def test_another_name_or_order_is_another_fingerprint():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    assert (
        len({fingerprint(f) for f in (frame, frame[["b", "a"]], frame.set_axis(["a", "c"], axis=1), frame[::-1])}) == 4
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.DataFrame(), r"must hold rows and columns, however its shape is \(0, 0\)"),
        (pd.DataFrame({"a": []}), "must hold rows and columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "must be unique, however 'a'"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "must be unique, however '1'"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "must have plain names"),
        (np.zeros((3, 2)), "must be a path, a built-in set's name or a data frame, however ndarray came"),
        (None, "however NoneType came"),
    ],
)
def test_what_is_no_table_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        from_frame(source)
