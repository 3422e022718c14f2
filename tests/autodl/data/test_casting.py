from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.casting import cast
from autodl.errors import DataError
from autodl.records import Column, Schema


def cast_one(cells, kind, root=".", reason="", dtype=object):
    frame = pd.DataFrame({"x": pd.Series(list(cells), dtype=dtype)})
    read, notes = cast(frame, Schema((Column("x", kind, reason),)), root)
    return read["x"], notes


def test_every_kind_has_its_dtype(tmp_path):
    frame = pd.DataFrame(
        {
            "n": ["1", None, "2.5"],
            "b": ["yes", None, "no"],
            "d": ["2020-01-02", None, "2021-01-02"],
            "c": ["a", None, "b"],
            "t": ["some words", "", "more words"],
            "i": ["a.png", None, "b.png"],
            "s": ["a.wav", None, "b.wav"],
            "o": [[1], [2], [3]],
        }
    )
    kinds = ("number", "boolean", "date", "category", "text", "image", "audio", "ignored")
    schema = Schema(tuple(Column(name, kind) for name, kind in zip(frame, kinds, strict=True)))
    read, notes = cast(frame, schema, tmp_path)
    assert notes == ()
    assert read.columns.tolist() == list("nbdctis")
    assert read.dtypes.astype(str).tolist() == ["float64", "float64", "datetime64[ns]"] + ["object"] * 4
    assert read.isna().to_numpy().tolist() == [[False] * 7, [True] * 7, [False] * 7]
    assert all(read[name][1] is None for name in "ctis")
    assert read["n"].tolist()[::2] == [1.0, 2.5]
    assert read["b"].tolist()[::2] == [1.0, 0.0]
    assert read["i"][0] == str(tmp_path / "a.png")


def test_infinity_is_missing_and_counted():
    cells, notes = cast_one([1.0, np.inf, -np.inf, np.nan], "number", dtype="float64")
    assert cells.isna().tolist() == [False, True, True, True]
    assert notes == ("column 'x': 2 of 4 cells hold infinity and count as missing",)


def test_stray_cells_are_missing_and_counted_and_empty_ones_are_not():
    _, notes = cast_one(["1", "abc", "", None, "2"], "number")
    assert notes == ("column 'x': 1 of 5 cells cannot be read as number, such as 'abc', and count as missing",)
    _, notes = cast_one(["yes", "perhaps"], "boolean")
    assert "1 of 2 cells cannot be read as boolean, such as 'perhaps'" in notes[0]
    _, notes = cast_one(["2020-01-02", "soon", None], "date")
    assert "1 of 3 cells cannot be read as date, such as 'soon'" in notes[0]


def test_the_stored_format_decides_how_dates_are_read():
    one = ["03/04/2020"]
    assert cast_one(one, "date", reason="dates written as %d/%m/%Y")[0][0] == pd.Timestamp(2020, 4, 3)
    assert cast_one(one, "date", reason="dates written as %m/%d/%Y")[0][0] == pd.Timestamp(2020, 3, 4)


def test_whole_numbers_are_the_same_category_with_and_without_missing_cells():
    whole, _ = cast_one([94103, 10115], "category", dtype="int64")
    holes, _ = cast_one([94103, np.nan], "category", dtype="float64")
    assert whole[0] == holes[0] == "94103"


def test_a_path_out_of_the_root_is_refused(tmp_path):
    for kind in ("image", "audio"):
        with pytest.raises(DataError, match="must stay inside"):
            cast_one(["a.png", "../b.png"], kind, tmp_path)


def test_a_symlink_out_of_the_root_is_missing_and_counted(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.png").symlink_to(tmp_path / "secret.png")
    cells, notes = cast_one(["a.png", "b.png", None], "image", tmp_path / "root")
    assert cells.isna().tolist() == [True, False, True]
    assert "1 of 3 cells are no path inside the root (a symlink leads out of it)" in notes[0]


def test_images_may_be_arrays():
    picture = np.zeros((4, 4), np.uint8)
    cells, notes = cast_one([picture, None, 3], "image")
    assert cells[0] is picture
    assert cells[1] is None
    assert cells[2] is None
    assert "1 of 3 cells hold neither a path nor an image" in notes[0]


def test_sounds_may_be_arrays():
    sound = np.zeros(40, np.int16)
    cells, notes = cast_one([sound, None, 3, "a.wav"], "audio")
    assert cells[0] is sound
    assert cells[1] is None
    assert cells[2] is None
    assert cells[3].endswith("/a.wav")
    assert "1 of 4 cells hold neither a path nor a sound" in notes[0]


@pytest.mark.parametrize("kind", ["number", "category", "text", "date", "boolean", "image", "audio"])
def test_lists_are_refused_whatever_the_kind(kind):
    with pytest.raises(DataError, match="1 of 2 cells hold lists; drop it with --ignore x"):
        cast_one(["1", [1]], kind)


def test_the_users_frame_is_not_shared():
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    read, _ = cast(frame, Schema((Column("x", "number"),)), ".")
    read.loc[0, "x"] = 5.0
    assert frame["x"].tolist() == [1.0, 2.0]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.none() | st.floats() | st.text(max_size=4), min_size=1, max_size=8),
    st.sampled_from(["number", "category", "boolean", "date", "text"]),
)
def test_casting_twice_changes_nothing(cells, kind):
    once, _ = cast_one(cells, kind)
    again, notes = cast(once.to_frame(), Schema((Column("x", kind),)), ".")
    pd.testing.assert_series_equal(once, again["x"])
    assert notes == ()
