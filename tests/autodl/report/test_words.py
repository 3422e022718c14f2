from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autodl.attribution import Players
from autodl.explaining.explanation import Explanation
from autodl.report.page import Fragment, Section, write_page
from autodl.report.words import MOST_LEFT, MOST_LETTERS, Word, highlighted, places_of, scale, words_of

Pieces = Callable[[str], list[tuple[int, int]]]


def shown(text: str, words: Sequence[Word], limit: float = 1.0) -> str:
    return highlighted(text, words, limit, title="words", what="probability of left = yes", note="by shapley")


def letters(page: str) -> str:
    """What a reader sees in the box."""
    box = page[page.index('<p dir="auto">') + len('<p dir="auto">') : page.index("</p></div>")]
    return html.unescape(re.sub("<[^>]*>", "", box))


def marks(page: str) -> list[str]:
    return re.findall("<mark.*?</mark>", page, re.DOTALL)


def test_each_word_has_the_value_of_its_player(make_mixed: Callable[..., Explanation], cut: Pieces) -> None:
    told = make_mixed()
    text = told.rows["review"].iloc[1]
    found = words_of(told, 1, text, {"review": cut(text)})
    assert [(each.start, each.end) for each in found] == cut(text)
    values = told.values.iloc[1].filter(like="review")
    assert [each.value for each in found] == pytest.approx(list(values))
    assert [each.error for each in found] == pytest.approx([0.003] * len(found))


def test_parts_of_one_word_and_of_neighbours_are_one_piece_in_all_views(
    make_mixed: Callable[..., Explanation], cut: Pieces
) -> None:
    told = make_mixed()
    text = told.rows["review"].iloc[1]
    whole = told.question.players
    index = whole.index["review"].clone()
    index[1, :2] = 5  # "The" and "b" are one player
    index[1, 2] = 6
    both = Players(whole.names, {**whole.index, "review": index, "again": index[:, :3]}, own=True)
    merged = replace(told, question=replace(told.question, players=both))
    places = places_of(merged, 1, text, {"review": cut(text), "again": [(0, 2), (2, 3), (7, 14)]})
    assert places[5] == [(0, 6)]  # no letter stands between the two
    assert text[slice(*places[6][0])] == "popcorn"


def test_methods_that_go_down_to_entries_tell_tokens_where_the_text_counts_as_one(
    make_mixed: Callable[..., Explanation], cut: Pieces
) -> None:
    told = make_mixed()
    text, shape = told.rows["review"].iloc[1], told.question.inputs["review"].shape
    one = Players(("review",), {"review": torch.zeros(shape[1:], dtype=torch.long)})
    whole = replace(told, question=replace(told.question, players=one))
    assert words_of(whole, 1, text, {"review": cut(text)}) == []
    entries = {"review": torch.arange(shape[1]).view(1, -1, 1).expand(shape).double()}
    deep = replace(whole, attributions=(replace(told.attribution, entries=entries),))
    assert [each.value for each in words_of(deep, 1, text, {"review": cut(text)})] == list(range(len(cut(text))))


def test_a_text_stays_text_whatever_stands_in_it(outline: Any, hostile: tuple[str, str]) -> None:
    for text in (
        *hostile,
        "\u202eevil\u202c \x00\x07",
        "a\r\nb\rc\nd",
        "👨\u200d👩\u200d👧 עברית می\u200cخواهم",
        "x" * 5000,
    ):
        page = shown(text, [Word(0, 3, 0.5, 0.1), Word(3, len(text), -0.2)])
        outline(page)
        safe = re.sub("[\u202a-\u202e\x00\x07]", "\ufffd", text).replace("\r\n", "\n").replace("\r", "\n")
        assert letters(page) == safe
        assert "<script" not in page


def test_colours_lie_on_one_scale_and_are_told_in_words() -> None:
    page = shown("good bad nothing", [Word(0, 4, 0.5, 0.01), Word(5, 8, -2.0), Word(9, 16, 0.0)])
    good, bad, nothing = marks(page)
    assert good == '<mark style="--s:50" title="+0.5 ± 0.01">good</mark>'
    assert bad == '<mark class="low" style="--s:100" title="−2">bad</mark>'
    assert nothing == '<mark title="0">nothing</mark>'
    assert "Most of all: “bad” −2, “good” +0.5 ± 0.01. by shapley" in page
    assert scale(0.25, "a <b>") in shown("x", [Word(0, 1, 0.1)], 0.25).replace(
        "probability of left = yes", "a &lt;b&gt;"
    )
    assert 'aria-label="Colours: blue lowers, down to −0.25; orange raises, up to +0.25"' in scale(0.25, "x")


def test_what_was_not_looked_at_is_grey_and_signs_are_not() -> None:
    page = shown("Hello, you … in the middle … bye!", [Word(0, 5, 0.5), Word(7, 10, 0.1), Word(29, 32, 0.1)])
    assert re.findall('<span class="unread">(.*?)</span>', page)[0] == " … in the middle … "
    assert letters(page) == "Hello, you … in the middle … bye!"
    assert page.count('class="unread"') == 2  # and in the legend
    assert 'class="unread"' not in shown("never told apart", [])
    assert "the text counts as one" in shown("never told apart", [])


def test_pieces_that_overlap_or_lie_outside_lose_no_letter_and_double_none() -> None:
    assert letters(shown("abcdef", [Word(2, 4, 0.1), Word(0, 3, 0.5), Word(5, 99, 0.2), Word(4, 4, 1.0)])) == "abcdef"
    assert letters(shown("", [])) == ""


def test_long_texts_are_cut_and_what_is_hidden_is_told() -> None:
    words = [Word(at, at + 9, 0.001) for at in range(0, 20_000, 10)]
    page = shown("wordwords " * 2000, words)
    assert len(page) < 12 * MOST_LETTERS
    left = 2000 - MOST_LETTERS // 9
    assert f"which bring +{left / 1000:.3g} together" in page
    tail = shown("read " + "u" * 50_000, [Word(0, 4, 1.0)])
    assert f"{50_001 - MOST_LEFT:,} more letters" in tail
    assert len(tail) < 3 * MOST_LEFT


def test_values_are_told_under_the_mouse_and_by_the_keyboard(
    tmp_path: Path, visit: Callable[..., Any], hostile: tuple[str, str]
) -> None:
    text = f"good {hostile[0]} bad"
    words = [Word(0, 4, 0.2, 0.01), Word(5, 5 + len(hostile[0]), -1.0), Word(len(text) - 3, len(text), 0.4)]
    write_page(tmp_path / "page.html", "t", [Section("s", "s", [Fragment(shown(text, words))])], {})
    seen = visit(tmp_path / "page.html", color_scheme="dark", viewport={"width": 320, "height": 700})
    worth, mark = seen.page.locator(".worth"), seen.page.locator("mark")
    mark.nth(0).hover()
    assert worth.text_content() == "good: +0.2 ± 0.01"
    seen.page.locator(".words mark[tabindex='0']").focus()
    assert worth.text_content() == f"{hostile[0]}: −1"  # the strongest is reached first
    seen.page.keyboard.press("ArrowRight")
    assert worth.text_content() == "bad: +0.4"
    seen.page.keyboard.press("Home")
    assert worth.text_content() == "good: +0.2 ± 0.01"
    assert seen.page.locator(".words mark[tabindex='0']").count() == 1
    colours = seen.page.evaluate(
        "[...document.querySelectorAll('mark')].map((m) => getComputedStyle(m).backgroundColor)"
    )
    assert len(set(colours)) == 3
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert (seen.errors, seen.dialogs) == ([], [])
