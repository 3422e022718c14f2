from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from hypothesis import given
from hypothesis import strategies as st

from autodl.report._cells import coded
from autodl.report._points import CLOUD, MOST_ROWS, cloud, drawn_rows, spread, swarm, tint_axis, tinted


def test_many_rows_are_drawn_by_the_seed() -> None:
    np.testing.assert_array_equal(drawn_rows(5, 0), np.arange(5))
    some = drawn_rows(10 * MOST_ROWS, 1)
    assert len(np.unique(some)) == MOST_ROWS
    np.testing.assert_array_equal(some, drawn_rows(10 * MOST_ROWS, 1))
    assert (some != drawn_rows(10 * MOST_ROWS, 2)).any()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_a_swarm_stays_in_its_line_and_is_the_same_each_time(x: list[float]) -> None:
    moved = swarm(np.array(x))
    assert np.abs(moved).max() <= CLOUD + 0.06
    np.testing.assert_array_equal(moved, swarm(np.array(x)))


def test_points_alike_lie_beside_one_another() -> None:
    assert len(np.unique(swarm(np.zeros(50)))) == 50
    assert np.abs(spread(np.zeros(50))).max() <= 0.25


def test_a_cloud_takes_few_bytes_a_point() -> None:
    rows = 5000
    x = np.random.default_rng(0).normal(size=rows)
    points = np.stack([x, x, np.linspace(0, 1, rows), np.arange(rows), x])
    trace = cloud("number", points, [])
    assert (trace.x.dtype, trace.y.dtype) == (np.float32, np.int16)
    assert trace.marker.color.dtype == np.uint8
    assert len(go.Figure(trace, layout={"template": None}).to_json()) < 26 * rows


def test_categories_are_traces_and_missing_numbers_are_apart() -> None:
    x = np.arange(4.0)
    hover = ["a", "b", "c", "d"]
    by_name = tinted(x, x, hover, coded(pd.Series(["<b>", "n", "n", "n"])), np.arange(4))
    assert [(trace.name, len(trace.x)) for trace in by_name] == [("&lt;b&gt;", 1), ("n", 3)]
    numbers = coded(pd.Series([1.0, np.nan, 3.0, 4.0]))
    gone, there = tinted(x, x, hover, numbers, np.arange(4))
    assert (gone.name, list(gone.hovertext)) == ("missing", ["b"])
    np.testing.assert_array_equal(there.marker.color, [1, 3, 4])
    (alone,) = tinted(x, x, hover, None, np.arange(4))
    assert len(alone.x) == 4


def test_colours_name_the_column_and_its_ends() -> None:
    axis = tint_axis("<i>age</i>", coded(pd.Series(np.linspace(0, 100, 101))))
    assert axis["colorbar"]["ticktext"] == ["2", "&lt;i&gt;age&lt;/i&gt;", "98"]
    dates = tint_axis("day", coded(pd.Series(pd.date_range("2021-01-01", periods=3))))
    assert dates["colorbar"]["ticktext"][0] == "2021-01-01"
    constant = tint_axis("same", coded(pd.Series([3.0, 3.0])))
    assert constant["cmin"] < constant["cmax"]
