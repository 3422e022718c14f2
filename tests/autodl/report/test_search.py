from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodl.report.page import Fragment, Plot, Select, page
from autodl.report.search import facts, search_sections, write_report


def fragment(predictor: Any, anchor: str) -> str:
    """The HTML of a section's fragments."""
    section = next(each for each in search_sections(predictor) if each.anchor == anchor)
    return "".join(part.html for part in section.parts if isinstance(part, Fragment))


@pytest.fixture
def written(tmp_path: Path, searched: Callable[..., Any]) -> Path:
    path = tmp_path / "search.html"
    assert write_report(searched(), path) == path.stat().st_size < 3e6
    return path


def test_the_leaderboard_is_the_leaderboard_s_own(searched: Callable[..., Any], outline: Any) -> None:
    predictor = searched()
    read = outline(fragment(predictor, "leaderboard"))
    rows = predictor.leaderboard.rows()
    cells = [attributes for tag, attributes in read.elements if tag in ("td", "th") and "scope" not in attributes]
    values = [float(each["data-value"]) if each["data-value"] else None for each in cells if "data-value" in each]
    numbers = ("number", "score", "weight", "best_epoch", "epochs", "seconds", "parameters")
    assert values == [row[name] for row in rows for name in numbers]
    assert [each["id"] for each in read.of("tr") if "id" in each] == [f"trial-{row['number']}" for row in rows]
    assert [row["weight"] > 0 for row in rows] == ["class" in each for each in read.of("tr")[1:]]


def test_costs_are_shown_where_there_are_any(searched: Callable[..., Any]) -> None:
    from dataclasses import replace

    predictor = searched()
    board = predictor.leaderboard
    records = [replace(record, cost=0.25) for record in board.records]
    predictor.leaderboard = replace(board, records=records, front=frozenset({1}))
    text = fragment(predictor, "leaderboard")
    assert 'data-value="0.25"' in text
    assert text.count("<td>*</td>") == 1
    assert "cost" not in fragment(searched(), "leaderboard")


def test_scores_come_with_interval_coverage_and_baselines(searched: Callable[..., Any], outline: Any) -> None:
    predictor = searched()
    text = " ".join(outline(fragment(predictor, "result")).inside("small"))
    assert "95 % interval 0.4 to 0.6" in text
    assert "lie in intervals for 90%" in text
    assert 'title="0.5123456789"' in fragment(predictor, "result")
    result = search_sections(predictor)[0]
    (figure,) = [part.figure for part in result.parts if isinstance(part, Plot)]
    assert list(figure.data[0].x) == [0.49, predictor.leaderboard.best.score, 1.386]


def test_members_lead_to_their_trials(searched: Callable[..., Any], outline: Any) -> None:
    predictor = searched()
    read = outline(fragment(predictor, "result"))
    assert [link["href"] for link in read.of("a")] == ["#trial-1", "#trial-2"]
    assert "75.0%" in read.inside("span")
    assert {"trial-1", "trial-2"} <= {each.get("id") for each in outline(fragment(predictor, "leaderboard")).of("tr")}


def test_failures_are_counted_by_reason(searched: Callable[..., Any], hostile: tuple[str, str], outline: Any) -> None:
    read = outline(fragment(searched(), "failures"))
    assert hostile[1] in read.inside("th")
    assert read.inside("td") == ["2", "29, 30"]
    predictor = searched()
    records = [record for record in predictor.leaderboard.records if record.state != "failed"]
    predictor.leaderboard = type(predictor.leaderboard)(records, "log_loss", False)
    assert "No trial failed." in fragment(predictor, "failures")


def test_importances_and_axes_are_there_or_it_is_said_why_not(searched: Callable[..., Any]) -> None:
    many, few = (search_sections(searched(trials))[2] for trials in (28, 6))
    assert [type(part) for part in many.parts] == [Plot, Select]
    select = many.parts[1]
    assert isinstance(select, Select)
    assert [name for name, _ in select.options] == ["mlp (21 trials)", "<script>alert(1)</script> (7 trials)"]
    reason = few.parts[0]
    assert isinstance(reason, Fragment)
    assert "only 6 trials have a score, and fewer than 10 tell nothing" in reason.html


def test_a_predictor_that_knows_little_of_itself_is_told_with_that(searched: Callable[..., Any], outline: Any) -> None:
    predictor = searched(3, facts={}, scores={}, networks=[])
    text = page("t", search_sections(predictor), facts(predictor))
    read = outline(text)
    assert read.safe()
    assert set(facts(predictor)) == {"Task", "Judged by", "Trials", "Columns"}
    assert facts(searched())["Searched for"] == "2 min"


def test_every_name_is_text(written: Path, hostile: tuple[str, str], outline: Any) -> None:
    text = written.read_text(encoding="utf-8")
    read = outline(text)
    assert read.safe()
    assert len(read.of("script")) == len(re.findall("<script", text))
    assert read.inside("h1") == [f"The search for '{hostile[1]}'"]
    for attributes, content in zip(read.of("script"), read.inside("script"), strict=True):
        if attributes.get("type") == "application/json":
            assert "<script" not in json.dumps(json.loads(content).get("data", ""))


def test_in_a_browser_all_is_drawn_and_nothing_else_happens(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written, viewport={"width": 380, "height": 800})
    for at in range(seen.page.locator(".canvas:visible").count()):
        canvas = seen.page.locator(".canvas:visible").nth(at)
        canvas.scroll_into_view_if_needed()
        canvas.locator(".main-svg").first.wait_for()
    seen.page.select_option("select", "1")
    seen.page.locator(".option:visible .parcoords").first.wait_for()
    seen.page.wait_for_timeout(200)
    assert (seen.errors, seen.dialogs, seen.requests) == ([], [], [written.as_uri()])
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 380


def test_a_heading_sorts_by_value_and_back_what_is_unknown_last(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written)
    button = seen.page.locator("#leaderboard thead button", has_text="log_loss")

    def scores() -> list[float | None]:
        cells = seen.page.locator("#leaderboard tbody tr td:nth-child(3)")
        values = cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")
        return [float(value) if value else None for value in values]

    ranked = scores()
    known = [score for score in ranked if score is not None]
    assert known == sorted(known)
    button.focus()
    seen.page.keyboard.press("Enter")
    assert scores() == ranked
    seen.page.keyboard.press("Enter")
    assert scores() == [*reversed(known), None, None]
    heading = seen.page.locator("#leaderboard th[aria-sort]")
    assert heading.get_attribute("aria-sort") == "descending"
    assert "descending" in seen.page.locator("#said").text_content()
