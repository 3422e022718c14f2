from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from autodl.errors import RunError
from autodl.report import page as module
from autodl.report.page import Fragment, Plot, Section, Select, page, write_page
from autodl.report.style import DARK, LIGHT, escape, finish


def bars(name: str = "bars", height: int = 120) -> Plot:
    figure = go.Figure(go.Bar(x=[1.0, 2.0], y=[escape(name), "b"], orientation="h", hovertext=[escape(name)] * 2))
    return Plot.of(finish(figure, name, f"caption of {name}", height, f"{name}: b is twice a"), "<p>1 and 2</p>")


def sections(name: str = "bars") -> list[Section]:
    many = Select(name, [(f"{name} {at}", [bars(f"{name} {at}")]) for at in range(3)])
    far = Fragment('<div style="height: 4000px"></div>')
    return [Section(name, "first", [bars(name)], name), Section("Second", "second", [far, many])]


def embedded(read: Any) -> dict[str, str]:
    """The texts of scripts by their ids; the one that runs has none."""
    return {a.get("id", ""): text for a, text in zip(read.of("script"), read.inside("script"), strict=True)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    assert write_page(path, "A title", sections(), {"fact": "so"}) == path.stat().st_size
    return path


def test_landmarks_headings_and_names_are_there_for_those_who_listen(written: Path, outline: Any) -> None:
    read = outline(written.read_text(encoding="utf-8"))
    assert read.of("html") == [{"lang": "en"}]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(read.of(landmark)) == 1
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [link["href"] for link in read.of("a")] == ["#content", "#first", "#second"]
    assert read.of("label")[0]["for"] == read.of("select")[0]["id"]
    assert any(attributes.get("aria-live") == "polite" for _, attributes in read.elements)
    drawings = [attributes for _, attributes in read.elements if attributes.get("role") == "img"]
    assert [each["aria-label"] for each in drawings][:2] == ["bars: b is twice a", "bars 0: b is twice a"]
    assert len(read.of("figure")) == len(drawings) == len(read.of("figcaption")) == 4
    assert read.inside("summary").count("In words") == 4


def test_what_stands_below_a_drawing_stands_above_its_caption(outline: Any) -> None:
    plot = Plot.of(finish(go.Figure(), "t", "c", 100), below='<audio controls src="data:audio/wav;base64,"></audio>')
    text = page("t", [Section("s", "s", [plot])], {})
    assert outline(text).safe()
    assert text.index('class="canvas"') < text.index("<audio ") < text.index("<figcaption>")


def test_names_from_data_stay_text_wherever_they_stand(hostile: tuple[str, str], outline: Any) -> None:
    for name in hostile:
        text = page(name, sections(name), {name: name})
        read = outline(text)
        assert read.safe()
        assert read.inside("h1") == [name]
        assert read.inside("option") == [f"{name} {at}" for at in range(3)]
        assert len([each for each in read.of("script") if "type" not in each]) == 1
        assert json.loads(embedded(read)["figure-1"])["data"][0]["y"][0] == escape(name)
        assert "<!--" not in text.replace("<!DOCTYPE", "")


def test_nothing_in_it_is_fetched_and_only_our_own_scripts_run(written: Path, outline: Any) -> None:
    text = written.read_text(encoding="utf-8")
    read = outline(text)
    assert read.safe()
    assert not re.search(
        r"https?://", re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    )
    policy = next(each["content"] for each in read.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == rules["connect-src"] == rules["form-action"] == rules["base-uri"] == ["'none'"]
    assert "'unsafe-inline'" not in rules["script-src"]
    own = (Path(module.__file__).parent / "page.js").read_text(encoding="utf-8")
    assert embedded(read)[""] == own
    assert f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" in rules["script-src"]
    assert json.loads(embedded(read)["config"])["showSendToCloud"] is False


def test_plotly_is_packed_once_and_templates_are_not_repeated(written: Path, outline: Any) -> None:
    from plotly.offline import get_plotlyjs

    read = outline(written.read_text(encoding="utf-8"))
    scripts = embedded(read)
    assert [name for name, text in scripts.items() if len(text) > 1e6] == ["plotly"]
    assert gzip.decompress(base64.b64decode(scripts["plotly"])).decode() == get_plotlyjs()
    assert written.stat().st_size < 2.1e6
    assert json.loads(scripts["templates"]) == {"light": LIGHT["template"], "dark": DARK["template"]}
    layouts = [json.loads(text)["layout"] for name, text in scripts.items() if name.startswith("figure-")]
    assert len(layouts) == 4
    assert not any({"template", "width"} & set(layout) for layout in layouts)


def test_without_figures_plotly_stays_away(outline: Any) -> None:
    text = page("t", [Section("s", "s", [Fragment("<p>words</p>")])], {})
    assert len(text) < 40_000
    assert len(outline(text).of("script")) == 3


def test_letters_that_are_none_are_replaced_and_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "a\ud800b", [], {})
    assert "a?b" in path.read_text(encoding="utf-8")
    with pytest.raises(RunError, match="must be writable"):
        write_page(tmp_path / "no" / "page.html", "t", [], {})


def test_opens_without_an_error_and_asks_nobody(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written)
    seen.page.wait_for_selector(".main-svg")
    seen.page.wait_for_timeout(200)
    assert seen.errors == []
    assert seen.requests == [written.as_uri()]
    image = seen.page.locator(".canvas svg[role=img]")
    assert image.get_attribute("aria-label") == "bars: b is twice a"


def test_hostile_names_stay_text_in_a_browser(
    tmp_path: Path, visit: Callable[..., Any], hostile: tuple[str, str]
) -> None:
    name = " ".join(hostile)
    write_page(tmp_path / "page.html", name, sections(name), {name: name})
    seen = visit(tmp_path / "page.html")
    seen.page.wait_for_selector(".main-svg")
    assert seen.page.locator("h1").text_content() == name
    assert "<script>alert(1)</script>" in seen.page.locator(".yaxislayer-above text").first.text_content()
    seen.page.locator(".bars path").first.hover(force=True)
    seen.page.wait_for_selector(".hovertext")
    assert (seen.dialogs, seen.errors) == ([], [])
    assert seen.page.locator("img").count() == 0


def test_a_script_that_slipped_in_does_not_run(tmp_path: Path, visit: Callable[..., Any]) -> None:
    """The second lock: even what nobody escaped is held by the policy."""
    slipped = Fragment("<script>document.title = 'taken'</script><img src='https://example.org/x' onerror='alert(1)'>")
    write_page(tmp_path / "page.html", "mine", [Section("s", "s", [slipped])], {})
    seen = visit(tmp_path / "page.html")
    seen.page.wait_for_timeout(200)
    assert seen.page.title() == "mine"
    assert seen.dialogs == []
    assert any("Content Security Policy" in error for error in seen.errors)


def test_figures_are_drawn_when_they_come_into_view(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written)
    seen.page.wait_for_selector(".main-svg")
    assert seen.drawn() == 1
    seen.page.locator("select").scroll_into_view_if_needed()
    seen.page.wait_for_selector(".option .main-svg")
    assert seen.drawn() == 2
    seen.page.select_option("select", "2")
    seen.page.wait_for_selector('.option[aria-label="bars 2"] .main-svg')
    assert seen.drawn() == 3
    assert seen.page.locator(".option:visible").count() == 1
    assert seen.page.locator("#said").text_content() == "bars: bars 2"
    assert seen.errors == []


def test_the_theme_follows_the_system_and_the_reader(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written, color_scheme="dark")
    seen.page.wait_for_selector(".main-svg")

    def colours() -> tuple[str, str]:
        paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return paper, seen.page.evaluate("getComputedStyle(document.querySelector('.xtick text')).fill")

    def light(colour: str) -> bool:
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) > 380

    dark = colours()
    assert [light(each) for each in dark] == [False, True]
    button = seen.page.get_by_role("button", name="Dark colours")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    seen.page.wait_for_function(f"getComputedStyle(document.querySelector('.xtick text')).fill !== '{dark[1]}'")
    assert [light(each) for each in colours()] == [True, False]
    assert button.get_attribute("aria-pressed") == "false"
    assert seen.errors == []


def test_the_keyboard_reaches_every_control(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written)
    seen.page.wait_for_selector(".main-svg")
    reached = []
    for _ in range(24):
        seen.page.keyboard.press("Tab")
        reached.append(
            seen.page.evaluate(
                "(() => { const a = document.activeElement; return a.id || a.hash || a.getAttribute('aria-label')"
                " || a.textContent; })()"
            )
        )
    assert reached[0] == "#content"
    assert {"theme", "#first", "#second", "In words", "The numbers", "select-1"} <= set(reached)
    seen.page.locator("#select-1").focus()
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector('.option[aria-label="bars 1"] .main-svg')
    outlined = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outlined == "solid"


def test_a_narrow_screen_need_not_be_scrolled_sideways(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written, viewport={"width": 320, "height": 700})
    seen.page.wait_for_selector(".main-svg")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_on_paper_all_is_drawn_light_and_without_controls(written: Path, visit: Callable[..., Any]) -> None:
    seen = visit(written, color_scheme="dark")
    seen.page.wait_for_selector(".main-svg")
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    seen.page.emulate_media(media="print")
    assert seen.drawn() == 2
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not seen.page.locator("nav").is_visible()
    assert not seen.page.locator("#theme").is_visible()
    sizes = seen.page.evaluate("[...document.querySelectorAll('.main-svg')].map((svg) => svg.getAttribute('width'))")
    assert set(sizes) == {"680"}
    seen.page.emulate_media(media="screen")
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert seen.errors == []
