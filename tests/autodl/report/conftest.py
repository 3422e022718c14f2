"""A browser without a window, pages that note what happens on them, and a search whose every name is hostile."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from autodl.attribution import Attribution, Players, Question
from autodl.explaining.explanation import Explanation
from autodl.leaderboard import Leaderboard
from autodl.predictor import Predictor
from autodl.records import Column, Component, InputSpec, Schema, Task, TrialConfig, TrialRecord

HOSTILE = "<script>alert(1)</script>"
BREAKING = "</script><img src=x onerror=alert(1)> \" ' <!-- & %{x} $x$"
VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Visit:
    """A page that is open, and what was seen on it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def drawn(self) -> int:
        """How many figures are there to be seen."""
        return int(self.page.locator(".canvas:has(.main-svg)").count())


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome here")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Open a file in a window of its own; keyword arguments are those of a browser context."""
    contexts = []

    def opened(path: Path, **settings: Any) -> Visit:
        context = browser.new_context(**settings)
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
        seen.page.goto(path.as_uri())
        seen.page.wait_for_function("autodl.ready.then(() => true)")
        return seen

    yield opened
    for context in contexts:
        context.close()


class Outline(HTMLParser):
    """What a page is made of; breaks where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def inside(self, tag: str) -> list[str]:
        """The texts that stand right in such elements."""
        return [text for name, text in self.texts if name == tag]

    def safe(self) -> bool:
        """Whether nothing came in but what the page itself is made of, and nothing leads out of it."""
        known = all(tag not in ("img", "iframe", "object", "form", "base") for tag, _ in self.elements)
        silent = all(not name.startswith("on") for _, attributes in self.elements for name in attributes)
        links = [a[name] for _, a in self.elements for name in ("src", "href", "action") if name in a]
        return known and silent and all(link.startswith(("#", "data:")) for link in links)


@pytest.fixture
def outline() -> type[Outline]:
    """Read a page or a piece of it."""
    return Outline


@pytest.fixture
def hostile() -> tuple[str, str]:
    """Names that would run, were they not escaped."""
    return HOSTILE, BREAKING


def _config(seed: int, name: str) -> TrialConfig:
    rate = 10 ** -(1 + seed % 7 / 2)
    return TrialConfig(
        modalities={"table": Component("tabular", {"scaling": ("robust", "quantile")[seed % 2]})},
        encoders={"table": Component(name, {"depth": 1 + seed % 3, "width": 64 * 2 ** (seed % 3)})},
        loss=Component("cross_entropy", {"label_smoothing": 0.0}),
        optimizer=Component("adamw", {"learning_rate": rate, "weight_decay": 0.01 * (1 + seed % 5)}),
        training={"batch_size": (32, 64, "full")[seed % 3], "schedule": "cosine"},
        epochs=20,
        seed=seed,
    )


def _record(number: int) -> TrialRecord:
    config = _config(number, "mlp" if number % 4 else HOSTILE)
    state = "pruned" if number % 5 == 0 else "complete"
    return TrialRecord(number, state, config, 0.5 + 0.1 * (number % 7) + 0.001 * number, 12, 9, 1234, 1.5, "random")


@pytest.fixture
def searched() -> Callable[..., Predictor]:
    """A predictor as far as reports look at it: so many trials, two failures, and hostile names throughout."""

    def make(trials: int = 28, **changes: Any) -> Predictor:
        records = [_record(number) for number in range(trials)]
        learner = TrialConfig({}, {}, Component(""), Component(""), {}, 1, 0, estimator=Component("dummy"))
        records.append(TrialRecord(trials, "complete", learner, 1.386, 1, 1, source="baseline"))
        for extra in (1, 2):
            records.append(TrialRecord(trials + extra, "failed", _config(0, "mlp"), error=BREAKING, source="random"))
        board = Leaderboard(records, "log_loss", False, {1: 0.75, 2: 0.25})
        members = [SimpleNamespace(number=n, share=s, config=records[n].config) for n, s in ((1, 0.75), (2, 0.25))]
        summary = {
            "test_interval": {"log_loss": [0.4, 0.6]},
            "test_coverage": {"asked": 0.9, "measured": 0.875, "size": 1.25},
            "baselines": {"dummy": 1.386, HOSTILE: None},
            "seconds": 125.0,
        }
        known = {
            "task": Task(BREAKING, "binary", (HOSTILE, "no"), "log_loss"),
            "schema": Schema((Column(HOSTILE, "number"), Column("b", "category"))),
            "leaderboard": board,
            "members": members,
            "networks": [1, 2, 3],
            "columns": [HOSTILE],
            "scores": {"validation": {"log_loss": 0.49, "accuracy": 0.75}, "test": {"log_loss": 0.5123456789}},
            "facts": {
                "summary": summary,
                "notes": [f"task: binary, '{BREAKING}' has two values"],
                "command": ["autodl", "search", f"{HOSTILE}.csv"],
                "versions": {"torch": "2"},
                "python": "3",
                "created": "2026-01-02T03:04:05+0000",
            },
        }
        return cast("Predictor", SimpleNamespace(**{**known, **changes}))

    return make


NASTY = ("<script>alert(1)</script>", "<b>x</b> $a$ %{x}", 'a "long" name \u202e of a column\nwhich must be cut')


def tabular(rows: int = 60, columns: int = 8, **changes: Any) -> Explanation:
    """Shares that sum to the prediction, of columns of all kinds; three outputs, the second in view.

    Args:
        rows: How many.
        columns: At least 7: three with nasty names, then a category, a date, numbers with gaps, numbers as words.
        changes: Fields of the attribution in view.
    """
    generator = np.random.default_rng(0)
    names = [*NASTY, *(f"feature {each}" for each in range(3, columns))]
    x = generator.normal(size=(rows, columns))
    frame = pd.DataFrame((x * 10 + 50).round(2), columns=names, index=[f"patient {each}" for each in range(rows)])
    frame[names[3]] = generator.choice(["yes", "no", "<i>maybe</i>", "a rather long category, which is cut"], rows)
    frame[names[4]] = pd.to_datetime("2021-01-01") + pd.to_timedelta(generator.integers(0, 900, rows), unit="D")
    frame.loc[frame.index[:3], names[5]] = np.nan
    frame[names[6]] = generator.integers(18, 90, rows).astype(str)
    shares = torch.tensor(x * np.exp(-np.arange(columns) / 5) * 0.1)
    both = torch.tensor(generator.normal(size=(rows, columns, columns))) * 0.01
    both = (both + both.transpose(1, 2)) * (1 - torch.eye(columns))
    told = [
        Attribution(
            values=shares * factor,
            base=torch.tensor(0.4),
            standard_error=torch.full_like(shares, 0.004),
            interactions=both,
            evaluations=123_456,
            explainer="shapley",
            target=target,
            output=0.4 + (shares * factor).sum(1),
            completeness_gap=torch.zeros(rows),
        )
        for target, factor in enumerate((-1.0, 1.0, 0.5))
    ]
    inputs = {"table": torch.tensor(x, dtype=torch.float32)}
    players = Players(tuple(names), {"table": torch.arange(columns)})
    return Explanation(
        attributions=(told[0], replace(told[1], **changes), told[2]),
        outputs=("no", "yes", "<b>perhaps</b>"),
        question=Question(lambda known: known["table"], inputs, 1, {}, players, {}, {}, seed=7),
        rows=frame,
        background=frame,
        quantity="probability",
        target="left?",
        baseline_words="the mean prediction of 200 training rows",
        truth=np.ones(rows),
        classes=("no", "yes", "<b>perhaps</b>"),
        focus=1,
    )


def pictured(side: int = 16, channels: int = 3, *, own: bool = True, entries: bool = True) -> Explanation:
    """Four rows with one image each, whose last is missing; divided into 16 squares, or whole."""
    rows, (across, down) = 4, np.meshgrid(np.arange(side), np.arange(side))
    disc = np.hypot(across - side * 0.4, down - side * 0.5) < side * 0.25
    image = np.stack([disc * 200 + 30, across * 255 // side, down * 255 // side])[:channels]
    offset, scale = torch.full((channels, 1, 1), 120.0), torch.full((channels, 1, 1), 1 / 60)
    seen = ((torch.tensor(image) - offset) * scale).repeat(rows, 1, 1, 1)
    seen[3] = float("nan")
    whole = torch.zeros(channels, side, side, dtype=torch.long)
    spec = InputSpec((channels, side, side), ("photo",), whole, whole.float(), offset=offset, scale=scale)
    squares = torch.tensor(down // (side // 4) * 4 + across // (side // 4)).expand(rows, channels, side, side)
    names = tuple(f"photo segment {each + 1}" for each in range(16)) if own else ("photo",)
    players = Players(names, {"photo": squares if own else whole}, own=own)
    values = torch.linspace(-1, 1, rows * len(names)).view(rows, -1) * 0.05
    heat = torch.tensor(disc * 0.01 - (across > side * 0.8) * 0.005).expand(rows, channels, side, side)
    told = Attribution(
        values=values,
        base=torch.tensor(0.4),
        entries={"photo": heat} if entries else None,
        explainer="integrated_gradients",
        output=0.4 + values.sum(1),
        completeness_gap=torch.full((rows,), 0.0123),
        notes=("forced: layer 3 (GELU) is not rewritten",),
    )
    question = Question(lambda known: known["photo"], {"photo": seen}, 0, {"photo": spec}, players, {}, {})
    frame = pd.DataFrame({"photo": ["a.png", "b.png", "c.png", None]})
    return Explanation((told,), ("cat", "dog"), question, frame, frame, "probability", "animal", "a blurred copy")


REVIEW = 'The <b>popcorn</b> was great,\n"really" \u202egreat\u202c & fresh. Nobody reads this.'
READ = 60  # letters of it that are looked at


def pieces(cell: str) -> list[tuple[int, int]]:
    """Words of the first letters, as a fitted text tells them."""
    return [found.span() for found in re.finditer(r"\w+", cell[:READ])]


def mixed(**changes: Any) -> Explanation:
    """Two rows of a column, an image of 2 × 2 segments, a review of words and a sound of 4 bands; all in the second.

    Args:
        changes: Fields of the attribution.
    """
    words, (down, across) = len(pieces(REVIEW)), np.mgrid[:8, :8]
    parts = {"photo segment": 4, "review word": words, "call band": 4}
    names = ("age", *(f"{part} {number + 1}" for part, count in parts.items() for number in range(count)))
    tokens = torch.full((2, words + 3, 1), 4 + words)  # what is no token belongs to the last word
    tokens[1, :words, 0] = torch.arange(words) + 5
    bands = (torch.arange(20) // 5 + 5 + words).expand(2, 1, 6, 20)
    segments = torch.tensor(down // 4 * 2 + across // 4 + 1).expand(2, 3, 8, 8)
    index = {"table": torch.zeros(2, 1, dtype=torch.long), "photo": segments, "review": tokens, "call": bands}
    specs = {
        name: InputSpec(tuple(each.shape[1:]), (name,), torch.zeros_like(each[0]), torch.zeros(each.shape[1:]))
        for name, each in index.items()
    }
    specs["table"] = replace(specs["table"], columns=("age",))
    specs["call"] = replace(specs["call"], axes=("channel", "frequency", "time"))
    inputs = {name: torch.rand(each.shape, generator=torch.Generator().manual_seed(0)) for name, each in index.items()}
    for name in ("photo", "review", "call"):
        inputs[name][0] = float("nan")
    values = torch.linspace(-1, 1, 2 * len(names), dtype=torch.float64).view(2, -1) * 0.1
    told = Attribution(
        values=values, base=torch.tensor(0.4), standard_error=torch.full_like(values, 0.003), explainer="shapley",
        output=0.4 + values.sum(1), completeness_gap=torch.zeros(2),
    )  # fmt: skip
    question = Question(lambda known: known["table"], inputs, 0, specs, Players(names, index, own=True), {}, {})
    frame = pd.DataFrame({"age": [30, 40], "photo": [None, "b.png"], "review": [None, REVIEW], "call": [None, "b.wav"]})
    known = (replace(told, **changes),)
    return Explanation(known, ("yes",), question, frame, frame, "probability", "left", "texts without words")


@pytest.fixture
def make_mixed() -> Callable[..., Explanation]:
    """See ``mixed``."""
    return mixed


@pytest.fixture
def cut() -> Callable[[str], list[tuple[int, int]]]:
    """See ``pieces``."""
    return pieces


@pytest.fixture
def make_tabular() -> Callable[..., Explanation]:
    """See ``tabular``."""
    return tabular


@pytest.fixture
def make_pictured() -> Callable[..., Explanation]:
    """See ``pictured``."""
    return pictured


@pytest.fixture
def table() -> Explanation:
    """Sixty rows of eight columns."""
    return tabular()


@pytest.fixture
def picture() -> Explanation:
    """Four rows with an image of 16 × 16 in 16 segments."""
    return pictured()
