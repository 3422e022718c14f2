from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Attribution, Players, Question
from autodl.explaining.explanation import Explanation
from autodl.modalities.tabular import Tabular
from autodl.records import Column, InputSpec, Task
from autodl.report._controls import changed, controls_for
from autodl.report.page import Fragment, Section, write_page
from autodl.report.what_if import Panel, what_if, what_if_html

ROWS, SHOWN = 60, 4
NAMES = ("no", "perhaps", "</script><img src=x onerror=alert(3)>")
EVIL = "<script>alert(1)</script>"
KINDS = {"age": "number", EVIL: "category", "member": "boolean", "joined": "date", "hours": "number"}
COLUMNS = [Column(name, kind) for name, kind in KINDS.items()]  # type: ignore[arg-type]


class Net(nn.Module):
    """Two views of one table, and an image that no control changes."""

    def __init__(self, robust: int, quantile: int, outputs: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(robust, 24), nn.LayerNorm(24), nn.GELU(), nn.Linear(24, outputs))
        self.second = nn.Sequential(nn.Linear(quantile, 24), nn.ReLU(), nn.Linear(24, outputs))
        self.image = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, outputs))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        seen = self.image(inputs["image"])
        return ((2 * self.first(inputs["robust"]) + seen).softmax(-1) + self.second(inputs["quantile"]).softmax(-1)) / 2


class After(nn.Module):
    """A function of what a model says."""

    def __init__(self, model: Any, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.function(self.model(inputs))


class Scene:
    """A table, what a model sees of it, and an explanation of its first rows."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.frame = pd.DataFrame(
            {
                "age": draw.integers(18, 80, ROWS),
                EVIL: draw.choice(["private", "<img src=x onerror=alert(2)>", "self"], ROWS),
                "member": draw.random(ROWS) < 0.4,
                "joined": pd.Timestamp("2015-01-01") + pd.to_timedelta(draw.integers(0, 3000, ROWS), unit="D"),
                "hours": np.where(draw.random(ROWS) < 0.3, np.nan, draw.integers(5, 60, ROWS) / 4),
            },
            index=pd.Index([f"r{n}" for n in range(ROWS)]),
        )
        task = Task("loan", "multiclass", NAMES, "log_loss")
        targets = draw.integers(0, 3, ROWS)
        self.fitted: dict[str, Tabular] = {}
        self.specs: dict[str, InputSpec] = {}
        for scaling in ("robust", "quantile"):
            self.fitted[scaling] = Tabular(COLUMNS, scaling=scaling, categories=8)
            self.specs[scaling] = self.fitted[scaling].fit(self.frame, targets, task, 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model: Any = Net(*(self.specs[name].shape[0] for name in ("robust", "quantile"))).eval()
            self.images = torch.randn(ROWS, 1, 8, 8)

    def transform(self, rows: pd.DataFrame) -> dict[str, Tensor]:
        return {name: fitted.transform(rows).values for name, fitted in self.fitted.items()}

    def inputs(self, rows: slice) -> dict[str, Tensor]:
        return {**self.transform(self.frame.iloc[rows]), "image": self.images[rows]}

    def explanation(self, model: Any = None, **changes: Any) -> Explanation:
        inputs, model = self.inputs(slice(SHOWN)), model or self.model
        question = Question(
            model, inputs, 0, self.specs, Players(tuple(KINDS), {}), self.inputs(slice(SHOWN, ROWS)), baseline={}
        )
        with torch.no_grad():
            said = model(inputs)
        names = NAMES if said.shape[1] == 3 else ("price",)
        values = torch.tensor([5.0, 4, 3, 2, 1]).expand(SHOWN, 5)
        told = [Attribution(values, torch.tensor(0.0), target=at, output=said[:, at]) for at in range(len(names))]
        truth = np.array([0, 2, -1, 1]) if len(names) == 3 else np.array([1.5, np.nan, 3.0, 4.0])
        found = Explanation(
            tuple(told),
            names,
            question,
            self.frame.iloc[:SHOWN],
            self.frame.iloc[SHOWN:],
            "probability" if len(names) == 3 else "number",
            "loan" if len(names) == 3 else "price",
            "training rows",
            truth,
            names if len(names) == 3 else (),
        )
        return replace(found, **changes)

    def says(self, row: int, model: Any = None, **cells: Any) -> list[float]:
        """What PyTorch says of a row some of whose cells are others."""
        frame = self.frame.iloc[row : row + 1].assign(**{name: [cell] for name, cell in cells.items()})
        with torch.no_grad():
            found = (model or self.model)({**self.transform(frame), "image": self.images[row : row + 1]})
        return [float(each) for each in found[0]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture
def opened(visit: Any, tmp_path: Path) -> Callable[..., Any]:
    """Open a page with the panel, as reports have it: a content security policy and all."""

    def make(*panels: Panel, **settings: Any) -> Any:
        path = tmp_path / "page.html"
        sections = [Section("What if", f"what-if-{at}", [Fragment(each.html)]) for at, each in enumerate(panels)]
        write_page(path, "Test", sections, {})
        return visit(path, **settings)

    return make


def shown(page: Any) -> list[float]:
    """The probabilities beside the bars."""
    return [float(each.split()[0]) / 100 for each in page.locator(".wi-value").all_inner_texts()]


def data_of(panel: Panel) -> dict[str, Any]:
    text = re.search(r'<script type="application/json">(.*?)</script>', panel.html, re.DOTALL)
    assert text
    return json.loads(text[1])  # type: ignore[no-any-return]


def test_the_page_itself_says_what_torch_says(scene: Scene, opened: Any) -> None:
    """Many controls changed at once, in every row: to 1e-5."""
    panel = what_if(scene.explanation(), scene.transform, COLUMNS)
    assert (panel.live, panel.reason, panel.rows) == (True, "", SHOWN)
    visit = opened(panel)
    controls = {
        each.column: each for each in controls_for(scene.frame[:SHOWN], scene.frame[SHOWN:], scene.transform, COLUMNS)
    }
    order = [controls[each["column"]] for each in data_of(panel)["controls"]]
    draw = np.random.default_rng(1)
    for row in range(SHOWN):
        positions = draw.integers([len(each) for each in order], size=(10, len(order)))
        answers = visit.page.evaluate(
            "([row, all]) => all.map((each) => document.querySelector('.what-if').panel.answer(row, each))",
            [row, positions.tolist()],
        )
        frame = changed(scene.frame.iloc[row : row + 1], order, positions)
        with torch.no_grad():
            truth = scene.model({**scene.transform(frame), "image": scene.images[row : row + 1].expand(10, 1, 8, 8)})
        assert np.abs(np.array(answers) / truth.numpy() - 1).max() < 1e-5
    assert visit.errors == visit.dialogs == []


def test_controls_by_hand_change_what_is_shown(scene: Scene, opened: Any) -> None:
    """Slider by keyboard, number by typing, category and boolean by choice, a missing cell, and back again."""
    page = opened(what_if(scene.explanation(), scene.transform, COLUMNS)).page
    first = scene.says(0)
    assert shown(page) == pytest.approx(first, abs=6e-4)
    assert page.locator(".wi-says").inner_text().split("\n")[0] == "loan = no"
    assert "as the row is, really no" in page.locator(".wi-says").inner_text()
    age = page.get_by_label("age", exact=True)
    age.focus()
    page.keyboard.press("End")
    oldest = int(scene.frame["age"].max())
    assert shown(page) == pytest.approx(scene.says(0, age=oldest), abs=6e-4)
    assert age.get_attribute("aria-valuetext") == str(oldest)
    assert page.get_by_label("age as a number").input_value() == str(oldest)
    page.get_by_label("age as a number").fill("-100")
    page.keyboard.press("Tab")
    youngest = int(scene.frame["age"].min())
    page.get_by_label(EVIL, exact=True).select_option("private")
    page.get_by_label("member", exact=True).select_option("True")
    cells = {"age": youngest, EVIL: "private", "member": True}
    assert shown(page) == pytest.approx(scene.says(0, **cells), abs=6e-4)
    page.get_by_text("missing", exact=True).last.click()
    assert page.get_by_label("hours", exact=True).is_disabled() != bool(pd.isna(scene.frame["hours"].iloc[0]))
    page.get_by_role("button", name="Reset the row").click()
    assert shown(page) == pytest.approx(first, abs=6e-4)
    assert page.get_by_role("button", name="Reset the row").is_disabled()


def test_another_row_and_another_output_can_be_chosen(scene: Scene, opened: Any) -> None:
    page = opened(what_if(scene.explanation(), scene.transform, COLUMNS)).page
    page.get_by_label("Change").select_option("row r3")
    assert shown(page) == pytest.approx(scene.says(3), abs=6e-4)
    page.get_by_label("Look at").select_option("perhaps")
    assert page.locator(".wi-says").inner_text().split("\n")[0] == "loan = perhaps"
    assert page.locator(".wi-says").get_attribute("aria-live") == "polite"


def test_the_curve_is_of_the_column_in_focus_and_of_the_changed_row(scene: Scene, opened: Any) -> None:
    page = opened(what_if(scene.explanation(), scene.transform, COLUMNS)).page
    page.get_by_label("joined", exact=True).focus()
    assert "as joined alone changes. Orange" in page.locator(".wi-figure figcaption").inner_text()
    page.get_by_label("member", exact=True).focus()
    page.get_by_label("member", exact=True).select_option("True" if not scene.frame["member"].iloc[0] else "False")
    page.get_by_label("joined", exact=True).focus()
    assert "dashed: had nothing else been changed" in page.locator(".wi-figure figcaption").inner_text()
    now, own = (page.locator(f".wi-svg path.{kind}").get_attribute("d") for kind in ("wi-now", "wi-first"))
    assert now.count("L") == own.count("L") > 20
    assert now != own
    said = page.locator(".wi-svg").get_attribute("aria-label")
    day = [scene.says(0, joined=each, member=not scene.frame["member"].iloc[0])[0] for each in scene.frame["joined"]]
    low, high = (float(each) / 100 for each in re.findall(r"([0-9.]+) %", said))
    assert (low, high) == pytest.approx((min(day), max(day)), abs=3e-3)  # of some of the days


def test_names_of_the_data_stay_text(scene: Scene, opened: Any, outline: Any) -> None:
    explanation = scene.explanation(target="</script><script>alert(4)</script>")
    panel = what_if(explanation, scene.transform, COLUMNS)
    visit = opened(panel)
    for select in (visit.page.get_by_label(EVIL, exact=True), visit.page.get_by_label("Look at")):
        for at in range(3):
            select.select_option(index=at)
    assert visit.page.locator(".what-if img, .what-if label script").count() == 0
    assert (
        visit.page.get_by_label(EVIL, exact=True).locator("option").all_inner_texts()[0]
        == "<img src=x onerror=alert(2)>"
    )
    assert visit.errors == visit.dialogs == []
    assert len(visit.requests) == 1
    assert outline(panel.html).safe()


def test_panels_on_one_page_do_not_meet(scene: Scene, opened: Any) -> None:
    panel = what_if(scene.explanation(), scene.transform, COLUMNS)
    page = opened(panel, panel).page
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("End")
    assert page.locator(".wi-changed").count() == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


def test_what_is_no_network_answers_from_curves_one_column_at_a_time(scene: Scene, opened: Any) -> None:
    def opaque(inputs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return scene.model(inputs)

    panel = what_if(scene.explanation(opaque), scene.transform, COLUMNS)
    assert not panel.live
    page = opened(panel).page
    assert "Only one column at a time can be changed, because what answers is no torch network" in (
        page.locator(".wi-note").inner_text()
    )
    page.get_by_label("age", exact=True).focus()
    page.keyboard.press("Home")
    assert shown(page) == pytest.approx(scene.says(0, age=int(scene.frame["age"].min())), abs=6e-4)
    page.get_by_label(EVIL, exact=True).select_option("self")
    assert shown(page) == pytest.approx(scene.says(0, **{EVIL: "self"}), abs=6e-4)
    own = scene.frame["age"].iloc[0]
    assert page.get_by_label("age as a number").input_value() == str(own)


def test_a_network_that_is_too_large_or_unknown_falls_back_and_says_why(scene: Scene) -> None:
    small = what_if(scene.explanation(), scene.transform, COLUMNS, limit_bytes=5_000)
    sizes = [len(each) for each in data_of(small)["curves"]]
    assert (small.live, small.rows) == (False, len(sizes))
    assert sum(sizes) <= 5_000 < sizes[0] * SHOWN  # rows are left out too
    assert "MB as text" in small.reason
    odd = After(scene.model, torch.special.i0)
    assert "aten.i0" in what_if(scene.explanation(odd), scene.transform, COLUMNS).reason


def test_a_view_in_which_columns_meet_falls_back(scene: Scene) -> None:
    def mixed(rows: pd.DataFrame) -> dict[str, Tensor]:
        found = scene.transform(rows)
        older = torch.tensor((rows["age"] * rows["member"]).to_numpy(dtype=np.float32))
        return {**found, "robust": found["robust"] + older[:, None]}

    assert "hangs on other columns" in what_if(scene.explanation(), mixed, COLUMNS).reason


def test_a_page_whose_arithmetic_is_off_lets_nothing_be_changed(scene: Scene, opened: Any) -> None:
    panel = what_if(scene.explanation(), scene.transform, COLUMNS)
    data = data_of(panel)
    data["probes"][3]["answer"][0] += 1e-3
    page = opened(replace(panel, html=what_if_html(data))).page
    assert "otherwise than PyTorch did" in page.get_by_role("alert").inner_text()
    assert page.locator(".what-if input").count() == 0


def test_a_number_is_shown_in_its_unit(scene: Scene, opened: Any) -> None:
    model = After(scene.model, lambda said: 1e5 * said[:, :1])
    page = opened(what_if(scene.explanation(model), scene.transform, COLUMNS)).page
    said = page.locator(".wi-says").inner_text()
    assert said.split("\n")[0] == "price"
    assert float(said.split("\n")[1].replace(",", "")) == pytest.approx(scene.says(0, model)[0], rel=1e-4)
    assert "really 1.5" in said


def test_with_many_columns_the_weightiest_come_first_and_all_can_be_found(scene: Scene, opened: Any) -> None:
    names = [f"x{n}" for n in range(30)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 30)), columns=names)
    model = After(lambda inputs: inputs["x"], nn.Linear(30, 2))

    def transform(rows: pd.DataFrame) -> dict[str, Tensor]:
        return {"x": torch.tensor(rows.to_numpy(), dtype=torch.float32)}

    question = Question(model, transform(frame[:3]), 0, {}, Players(tuple(names), {}), transform(frame), {})
    values = torch.arange(30.0).expand(3, 30)
    told = Attribution(values, torch.tensor(0.0), target=1)
    explanation = Explanation((told,), ("out",), question, frame[:3], frame, "output", "", "rows")
    page = opened(what_if(explanation, transform, [Column(name, "number") for name in names])).page
    visible = page.locator(".wi-control:visible label")
    assert visible.all_inner_texts() == [f"x{n}" for n in range(29, 17, -1)]
    page.get_by_label("Find a column").fill("X3")
    assert visible.all_inner_texts() == ["x3"]
    page.get_by_label("Find a column").fill("")
    page.get_by_role("button", name="Show all 30 columns").click()
    assert visible.count() == 30


def test_where_nothing_can_be_changed_a_sentence_says_so(scene: Scene) -> None:
    panel = what_if(scene.explanation(), scene.transform, [Column("age", "text")])
    assert not panel.live
    assert "nothing to change" in panel.html


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1000, True), (390, False), (330, True)])
def test_the_panel_fits_any_screen(scene: Scene, opened: Any, width: int, dark: bool) -> None:
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": "dark" if dark else "light"}
    page = opened(what_if(scene.explanation(), scene.transform, COLUMNS), **settings).page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "[...document.querySelectorAll('.what-if *')].every((e) => e.getBoundingClientRect().right <= innerWidth)"
    )
