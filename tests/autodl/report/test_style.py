from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.explaining.explanation import Explanation
from autodl.report.style import (
    CAPTION_WIDTH,
    CATEGORIES,
    CONFIG,
    DARK,
    LABEL,
    LIGHT,
    LOWERS,
    RAISES,
    bare,
    caption,
    clean,
    cut,
    escape,
    finish,
    format_number,
    format_signed,
    format_value,
    legend_below,
    named,
    quantity,
    wrapped,
)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` as WCAG 2 defines it."""
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_colours_are_seen_on_both_papers(theme: dict[str, Any]) -> None:
    """4.5 for text, as WCAG's level AA asks; what is drawn is larger, and 2 keeps even the palest colour apart."""
    layout = theme["template"]["layout"]
    paper = layout["paper_bgcolor"]
    assert contrast(layout["font"]["color"], paper) > 7
    assert contrast(layout["title"]["subtitle"]["font"]["color"], paper) > 4.5
    assert all(contrast(colour, paper) > 2 for colour in (*CATEGORIES, RAISES, LOWERS))


def test_both_templates_say_the_same_things_so_that_one_replaces_the_other() -> None:
    def paths(plain: Any) -> set[str]:
        if isinstance(plain, dict):
            return {f"{key}.{rest}" for key, each in plain.items() for rest in paths(each)}
        return {f"[].{rest}" for each in plain for rest in paths(each)} if isinstance(plain, list) else {""}

    assert paths(LIGHT) == paths(DARK)
    for theme in (LIGHT, DARK):
        go.layout.Template(theme["template"])  # raises where Plotly knows no such name


def test_no_button_uploads_anything() -> None:
    assert CONFIG["showSendToCloud"] is False
    assert not CONFIG["plotlyServerURL"]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a & b", "a &amp; b"),
        ("%{x} $a$", "%&#123;x} &#36;a&#36;"),
        ('"quoted"', '"quoted"'),
        ("two\nlines\tof  it", "two lines of it"),
        ("turned \u202eround\u200b", "turned round"),
        ("bell\x07", "bell\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_words_of_the_data_are_shown_as_they_are(text: str, safe: str) -> None:
    assert escape(text) == safe


@given(st.text(), st.integers(2, 30))
def test_safe_text_holds_nothing_that_plotly_reads(text: str, most: int) -> None:
    for safe in (escape(text), escape(text, most), *wrapped(text, most)):
        assert not set("<>$\n") & set(safe)
        assert "%{" not in safe
    assert len(cut(text, most)) <= most
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (42, "42"),
        (42.0, "42"),
        (np.float32(0.1), "0.1"),
        (1234567.25, "1.23457e+06"),
        (float("nan"), "missing"),
        (None, "missing"),
        (True, "True"),
        ("a\nb", "a b"),
        (np.zeros((32, 16, 3)), "32 × 16 × 3"),
        (datetime.datetime(2021, 3, 4), "2021-03-04"),
        (datetime.datetime(2021, 3, 4, 5, 6), "2021-03-04 05:06:00"),
        (np.datetime64("2021-03-04T00:00:00"), "2021-03-04"),
    ],
)
def test_a_cell_is_written_as_the_user_wrote_it(value: object, words: str) -> None:
    assert format_value(value) == words


def test_figures_have_three_digits_and_a_proper_minus() -> None:
    assert [format_number(each) for each in (0.12345, -0.5, 123456.0, float("nan"))] == [
        "0.123",
        "−0.5",
        "123456",
        "none",
    ]
    assert [format_signed(each) for each in (0.5, -0.5, 0.0)] == ["+0.5", "−0.5", "0"]
    assert [format_number(each) for each in (float("inf"), float("-inf"))] == ["∞", "−∞"]


def test_a_long_name_is_cut_so_that_its_value_is_seen() -> None:
    label = named("a very long name of a column that goes on", "42")
    assert label.endswith("… = 42")
    assert len(label) <= LABEL
    assert named("age", "42") == "age = 42"
    assert named("x") == "x"


@pytest.mark.parametrize(
    ("kind", "target", "output", "words"),
    [
        ("probability", "left", "yes", "probability of left = yes"),
        ("number", "price", "price", "price"),
        ("number", "price", "0.9 quantile", "price: 0.9 quantile"),
        ("score", "left", "yes", "score before softmax of left = yes"),
        ("probability", "tag", "tag", "probability of tag"),
        ("output", "", "2", "output 2"),
    ],
)
def test_the_quantity_is_named_in_words(
    make_tabular: Callable[..., Explanation], kind: str, target: str, output: str, words: str
) -> None:
    told = replace(make_tabular(), quantity=kind, target=target, outputs=(output,), focus=0)
    assert quantity(told) == words


def test_the_caption_names_all_that_a_reader_needs(make_tabular: Callable[..., Explanation]) -> None:
    words = caption(make_tabular(notes=("forced: layer 3 is not rewritten",)))
    for said in (
        *(
            "shapley on probability of left? = yes",
            "the mean prediction of 200 training rows",
            "sums to the prediction",
        ),
        *("standard error up to 0.004", "123,456 rows", "seed 7", "Forced: layer 3 is not rewritten."),
    ):
        assert said in words
    gap = make_tabular()
    assert gap.attribution.output is not None
    half = 0.25 * (gap.attribution.output - gap.attribution.base)
    assert "largest gap to the prediction 25 %" in caption(make_tabular(completeness_gap=half))
    silent = caption(make_tabular(completeness_gap=None, standard_error=None))
    assert "need not sum" in silent
    assert "standard error" not in silent


def test_a_finished_figure_says_its_caption_in_lines_that_fit_a_narrow_screen() -> None:
    title, words = "<b>bold</b> " * 8, "word " * 60
    figure = finish(go.Figure(go.Scatter(y=[1])), title, words, 300)
    lines = figure.layout.title.subtitle.text.split("<br>")
    assert all(len(line) <= CAPTION_WIDTH for line in lines)
    assert len(lines) > 3
    assert "<b>" not in figure.layout.title.text
    assert figure.layout.height > 300 + 15 * len(lines)
    assert figure.layout.meta["caption"] == words
    assert figure.layout.meta["title"] == figure.layout.meta["alt"] == title


def test_a_bare_figure_leaves_title_and_caption_to_the_page() -> None:
    figure = finish(go.Figure(go.Scatter(y=[1])), "title", "caption", 300)
    plain = bare(figure)
    assert plain.layout.title.text is None
    assert plain.layout.title.subtitle.text is None
    assert plain.layout.height == 316
    assert figure.layout.meta == {"title": "title", "caption": "caption", "alt": "title"}


def test_a_legend_gets_the_room_that_its_names_need() -> None:
    figure = go.Figure([go.Scatter(name=f"a category with a long name {each}") for each in range(6)])
    long = legend_below(figure, 300)
    figure = go.Figure([go.Scatter(name=f"{each}") for each in range(6)])
    assert 300 < legend_below(figure, 300) < long
    assert legend_below(figure, 300, ticks=40) == 40 + legend_below(figure, 300)
    assert legend_below(go.Figure(go.Scatter(name="alone")), 300) < legend_below(figure, 300)


def test_a_method_without_rows_has_a_caption_too(make_tabular: Callable[..., Explanation]) -> None:
    empty = torch.zeros(0)
    assert "sums to the prediction" in caption(make_tabular(completeness_gap=empty, output=empty))
