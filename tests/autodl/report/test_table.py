from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.report._table import Cell, Heading, figures, table


def test_what_stands_in_a_cell_is_text_whatever_it_is(outline: Any, hostile: tuple[str, str]) -> None:
    for name in hostile:
        text = table(
            [Heading(name), Heading(name)], [[name, Cell(1, name, href=name)]], name, sortable=True, ids=[name]
        )
        read = outline(text)
        assert read.safe()
        assert not read.of("script")
        assert read.inside("caption") == [name]
        assert read.inside("button") == [name, name]
        assert read.inside("a") == [name]
        assert read.of("div")[0]["aria-label"] == name


def test_rows_and_columns_have_headings_and_the_table_can_be_reached(outline: Any) -> None:
    read = outline(table([Heading("a"), Heading("b", number=True)], [["x", 1.0], ["y", None]], "What"))
    assert [each["scope"] for each in read.of("th")] == ["col", "col", "row", "row"]
    region = read.of("div")[0]
    assert (region["role"], region["tabindex"]) == ("region", "0")
    assert not read.of("button")


def test_numbers_are_shown_short_and_kept_whole(outline: Any) -> None:
    value = 0.123456789012345
    cells = outline(table([Heading("n"), Heading("v", number=True)], [["a", value], ["b", math.nan]], "c")).of("td")
    assert float(cells[0]["data-value"]) == value
    assert cells[0]["title"] == repr(value)
    assert cells[1]["data-value"] == ""


def test_bars_links_anchors_and_marks(outline: Any) -> None:
    rows = [[Cell(7, href="trial-7"), Cell(0.5, share=2.0)], ["x", Cell(0.1, share=0.25)]]
    read = outline(table([Heading("a"), Heading("b", number=True)], rows, "c", ids=["one", "two"], marked=[1]))
    assert read.of("a") == [{"href": "#trial-7"}]
    assert [each["style"] for each in read.of("span")] == ["--share:1.0000", "--share:0.2500"]
    assert [each.get("id") for each in read.of("tr")] == [None, "one", "two"]
    assert [each.get("class") for each in read.of("tr")] == [None, None, "marked"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        table([Heading("a")], [["x", 1]], "c")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "—"), (math.nan, "—"), (math.inf, "—"), (True, "yes"), ("<b>", "<b>"), (12345, "12,345")),
        *((0.123456789, "0.12346"), (8830.58, "8,830.6"), (139123.4, "139,123"), (1e-7, "1e-07"), (1e20, "1e+20")),
    ],
)
def test_five_figures_are_enough(value: Any, text: str) -> None:
    assert figures(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_number_as_text_is_the_number_nearly(value: float) -> None:
    assert float(figures(value).replace(",", "")) == pytest.approx(value, rel=1e-4)
