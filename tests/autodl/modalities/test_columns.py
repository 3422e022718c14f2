from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.modalities._columns import KINDS, ColumnEncoder
from autodl.records import ColumnKind

NAN = np.nan


def fit(kind: ColumnKind, cells: pd.Series, categories: int = 32, scaling: str = "standard") -> ColumnEncoder:
    return KINDS[kind].fit(cells, {"scaling": scaling, "categories": categories}, np.random.default_rng(0))


def encode(encoder: ColumnEncoder, cells: pd.Series) -> list[list[float]]:
    """Each feature's values."""
    out = np.zeros((len(encoder.features("x")), len(cells)))
    encoder.write(cells, out)
    return out.tolist()


def names(encoder: ColumnEncoder) -> list[str]:
    return [name for name, _ in encoder.features("x")]


def words(*cells: str | None) -> pd.Series:
    return pd.Series(cells, dtype=object)


def days(*cells: str) -> pd.Series:
    return pd.Series(np.array(cells, "datetime64[ns]"))


def test_a_number_has_an_indicator_where_training_cells_were_missing() -> None:
    encoder = fit("number", pd.Series([1.0, NAN, 3.0]))
    assert encoder.features("x") == [("x", True), ("x: missing", False)]
    assert encode(encoder, pd.Series([3.0, NAN, 4.0, np.inf])) == [[1, 0, 2, 0], [0, 1, 0, 1]]


def test_a_number_missing_only_later_is_the_centre() -> None:
    encoder = fit("number", pd.Series([1.0, 3.0]))
    assert names(encoder) == ["x"]
    assert encode(encoder, pd.Series([NAN, 5.0])) == [[0, 3]]


def test_a_boolean_is_centred() -> None:
    encoder = fit("boolean", pd.Series([1.0, 1.0, 1.0, 0.0, NAN]))
    assert encoder.features("x") == [("x", False), ("x: missing", False)]
    assert encode(encoder, pd.Series([1.0, 0.0, NAN])) == [[0.25, -0.75, 0], [0, 0, 1]]
    assert encode(fit("boolean", pd.Series([NAN, NAN])), pd.Series([1.0, NAN])) == [[1, 0], [0, 1]]


def test_a_category_is_one_hot_by_frequency() -> None:
    encoder = fit("category", words(*"bbb", *"aaaa", *"cccc"))
    assert names(encoder) == ["x = a", "x = c", "x = b"]
    assert encode(encoder, words("a", "b", "c")) == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rare_and_never_seen_categories_are_other() -> None:
    encoder = fit("category", words(*"aaa", *"bb", "c"))
    assert names(encoder) == ["x = a", "x: other"]
    assert encode(encoder, words("a", "b", "c", "new", None)) == [[1, 0, 0, 0, 0], [0, 1, 1, 1, 0]]


def test_categories_beyond_the_cap_are_other() -> None:
    encoder = fit("category", words(*"aaaaa", *"bbbb", *"ccc"), categories=2)
    assert names(encoder) == ["x = a", "x = b", "x: other"]
    assert encode(encoder, words("c")) == [[0], [0], [1]]


def test_without_such_training_rows_a_new_or_missing_category_is_all_zeros() -> None:
    encoder = fit("category", words(*"aaa", *"bbb"))
    assert encode(encoder, words("new", None, "a")) == [[0, 0, 1], [0, 0, 0]]


def test_a_missing_category_has_a_feature_where_training_rows_missed_it() -> None:
    encoder = fit("category", words(*"aaa", None))
    assert names(encoder) == ["x = a", "x: missing"]
    assert encode(encoder, words(None, "a")) == [[0, 1], [1, 0]]
    assert names(fit("category", words(None, None))) == ["x: missing"]


def test_equal_counts_are_ordered_by_name() -> None:
    assert names(fit("category", words(*"zzz", *"yyy", *"aaa"), categories=2)) == ["x = a", "x = y", "x: other"]


def test_a_date_by_hand() -> None:
    """2024-04-01 was a Monday, the zeroth day of the week in the third month from zero: a quarter of the year."""
    encoder = fit("date", days("2024-04-01", "2024-04-03", "NaT"))
    assert names(encoder) == [
        "x: age",
        "x: month sine",
        "x: month cosine",
        "x: weekday sine",
        "x: weekday cosine",
        "x: missing",
    ]
    assert [numeric for _, numeric in encoder.features("x")] == [True, *[False] * 5]
    monday, wednesday, gone = np.array(encode(encoder, days("2024-04-01", "2024-04-03", "NaT"))).T
    assert monday == pytest.approx([1, 1, 0, 0, 1, 0])  # two days old; mean 1, deviation 1
    assert wednesday == pytest.approx([-1, 1, 0, np.sin(4 * np.pi / 7), np.cos(4 * np.pi / 7), 0])
    assert gone.tolist() == [0, 0, 0, 0, 0, 1]


def test_hours_come_where_times_of_day_differ() -> None:
    fixed = fit("date", days("2024-01-01T09:00", "2024-01-02T09:00"))
    varied = fit("date", days("2024-01-01T00:00", "2024-01-02T06:00"))
    assert "x: hour sine" not in names(fixed)
    assert names(varied)[-2:] == ["x: hour sine", "x: hour cosine"]
    six = np.array(encode(varied, days("2024-05-05T06:00")))[-2:, 0]
    assert six == pytest.approx([1, 0], abs=1e-12)


def test_age_counts_from_the_newest_training_date_and_goes_on_after_it() -> None:
    encoder = fit("date", days("2024-01-01", "2024-01-03"))
    assert encoder.facets(days("2023-12-31", "2024-01-04"))[0].tolist() == [3, -1]


def test_weekday_and_month_are_those_of_the_standard_library() -> None:
    dates = pd.Series(pd.date_range("1888-01-30", "2112-01-01", freq="37D"))
    _, month, weekday = fit("date", dates).facets(dates)
    assert month.tolist() == [date.month - 1 for date in dates]
    assert weekday.tolist() == [date.weekday() for date in dates]


@pytest.mark.parametrize(
    ("kind", "cells", "missing"),
    [
        ("number", pd.Series(["1.5", "word", None, 2], dtype=object), [False, True, True, False]),
        ("number", pd.Series([1, None], dtype="Int64"), [False, True]),
        ("boolean", pd.Series([True, None], dtype="boolean"), [False, True]),
        ("date", pd.Series([None, None], dtype=object), [True, True]),
        ("date", pd.Series(pd.to_datetime(["2024-01-01", None]).tz_localize("Asia/Tokyo")), [False, True]),
        ("date", pd.Series(np.array(["9999-12-31", "NaT"], "datetime64[s]")), [False, True]),
        ("category", pd.Series(["a", None], dtype="str"), [False, True]),
        ("category", pd.Series(["a", None], dtype="category"), [False, True]),
    ],
)
def test_cells_of_other_types_are_read_or_missing(kind: ColumnKind, cells: pd.Series, missing: list[bool]) -> None:
    encoder = fit(kind, cells)
    out = np.zeros((len(encoder.features("x")), len(cells)))
    assert encoder.write(cells, out).tolist() == missing
    assert out[-1].tolist() == [float(gone) for gone in missing]


@given(cells=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=30), cap=st.integers(1, 5))
def test_every_training_cell_of_a_category_is_one_hot(cells: list[Any], cap: int) -> None:
    encoder = fit("category", words(*cells), categories=cap)
    found = np.array(encode(encoder, words(*cells)))
    assert (found.sum(0) == 1).all()
    assert (found.sum(1) >= 1).all()
    assert len(found) <= cap + 2
