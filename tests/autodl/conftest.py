"""What a small search tells its listener, and small predictors to explain, shared by the tests of what users see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autodl
from autodl.leaderboard import Leaderboard, describe
from autodl.predictor import Predictor
from autodl.records import Column, Component, Schema, Task, TrialConfig, TrialRecord
from autodl.tuning.events import EpochDone, Event, Finished, PackStarted, Said, Started, TrialChanged

CONFIG = TrialConfig(
    modalities={"table": Component("tabular")},
    encoders={"table": Component("mlp", {"depth": 3, "width": 256, "activation": "gelu"})},
    loss=Component("cross_entropy"),
    optimizer=Component("adamw", {"learning_rate": 0.0021}),
    training={},
    epochs=27,
    seed=0,
)
COLUMNS = (
    Column("age", "number"),
    Column("[red]income[/red]", "number"),
    Column("job", "category"),
    Column("id\x1b[2J", "ignored", "an id: all 500 values differ"),
    Column("code", "ignored", "an id: all 500 values differ"),
)


class Story:
    """One search, event by event, whose folder holds the leaderboard that the search would have written.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[TrialRecord] = []

    def trial(self, number: int, state: str, score: float | None, error: str = "") -> TrialChanged:
        """A trial changed; the best so far is worked out."""
        record = TrialRecord(number, state, CONFIG, score, epoch=9, best_epoch=7, error=error)  # type: ignore[arg-type]
        self.records = [*(each for each in self.records if each.number != number), record]
        scored = [each for each in self.records if each.score is not None]
        return TrialChanged(record, max(scored, key=lambda each: each.score or 0.0, default=None))

    def started(self, **changes: Any) -> Started:
        """The first event."""
        event = Started(
            folder=self.folder,
            source="churn",
            task=Task("left [bold]us[/bold]", "binary", ("no", "yes"), "roc_auc"),
            schema=Schema(COLUMNS),
            rows={"train": 300, "validation": 100, "test": 100, "how": "stratified by class, seed 0"},
            notes=("task: binary, two words", "split: stratified", "left out: 'id'", "3 images cannot be read"),
            deadline=time.time() + 60,
            trials=None,
            device="cpu × 2",
            knobs=57,
        )
        return replace(event, **changes)

    def finished(self, **changes: Any) -> Finished:
        """The last event."""
        self.folder.mkdir(exist_ok=True)
        shares = {0: 0.75, 1: 0.25}
        Leaderboard(self.records, "roc_auc", True, shares).to_csv(self.folder / "leaderboard.csv")
        summary = {
            "state": "finished",
            "seconds": 58.3,
            "trials": {"complete": 1, "pruned": 1, "failed": 1},
            "metric": "roc_auc",
            "best": {"number": 0, "score": 0.91, "what": describe(CONFIG)},
            "validation": {"accuracy": 0.85, "roc_auc": 0.9123},
            "test": {"accuracy": 0.84, "roc_auc": 0.8987},
            "columns": ["age", "[red]income[/red]"],
            "failures": {"weights became infinite": 1},
        }
        return Finished(self.folder, {**summary, **changes})

    def __iter__(self) -> Iterator[Event]:
        yield self.started()
        yield PackStarted((0, 1), "mlp 3 × 256 gelu, adamw 0.0021", 0, 9)
        yield PackStarted((2,), "linear, adamw 0.01", 0, 9)
        yield EpochDone((0, 1), 4, (0.7, 0.6))
        yield self.trial(0, "paused", 0.91)
        yield self.trial(1, "paused", 0.80)
        yield self.trial(2, "failed", None, "weights became infinite")
        yield Said("a worker died [x]")
        yield PackStarted((0,), "mlp 3 × 256 gelu, adamw 0.0021", 9, 27)
        yield self.trial(0, "complete", 0.9123)
        yield self.finished()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A search of three trials: one complete, one left at a rung, one failed."""
    return Story(tmp_path / "run")


@pytest.fixture
def fake_search(story: Story, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace search and resume by ones that tell the story; what they were called with is returned."""
    heard: dict[str, Any] = {}

    def telling(name: str) -> Callable[..., Path]:
        def tell(*arguments: Any, listener: Any, **options: Any) -> Path:
            heard[name] = (arguments, options)
            for event in heard.get("events", story):
                listener(event)
            return story.folder

        return tell

    monkeypatch.setattr("autodl.tuning.search.search", telling("search"))
    monkeypatch.setattr("autodl.tuning.search.resume", telling("resume"))
    return heard


ROWS = 160


def people(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Who leaves: the young, and those whose plan is basic; ``noise`` and ``day`` say nothing."""
    draw = np.random.default_rng(seed)
    age, plan = draw.uniform(18, 80, rows), draw.choice(["basic", "plus", "pro"], rows)
    frame = pd.DataFrame(
        {
            "age": age.round(),
            "plan": plan,
            "noise": draw.normal(size=rows),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), "D"),
        }
    )
    odds = (50 - age) / 8 + 2.0 * (plan == "basic")
    frame["left"] = np.where(draw.uniform(size=rows) < 1 / (1 + np.exp(-odds)), "yes", "no")
    frame["spent"] = 3 * age + 40 * (plan == "pro") + draw.normal(size=rows)
    frame.loc[3, "age"] = np.nan
    return frame


def searched(target: str, folder: Path, models: Any, **options: Any) -> Predictor:
    """The predictor of a search that is over in a moment."""
    frame = people().drop(columns="spent" if target == "left" else "left")
    return autodl.search(
        frame, target, trials=2, models=models, jobs=1, output=folder / "run", folds=2, quiet=True, **options
    )


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Networks alone predict one of two classes."""
    return searched("left", tmp_path_factory.mktemp("networks"), ["mlp", "linear"])


@pytest.fixture(scope="session")
def learners(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Trees alone predict one of two classes."""
    return searched("left", tmp_path_factory.mktemp("learners"), ["extra_trees"])


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Networks alone predict a number."""
    return searched("spent", tmp_path_factory.mktemp("numbers"), ["mlp"])


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Networks tell dark pictures from bright ones, with a number beside that says nothing; some are missing."""
    draw = np.random.default_rng(0)
    bright = draw.integers(0, 2, 60)
    shade = [np.clip(draw.normal(60 + 120 * each, 20, (12, 10)), 0, 255).astype(np.uint8) for each in bright]
    photos = pd.Series([None if row % 17 == 5 else image for row, image in enumerate(shade)], dtype=object)
    frame = pd.DataFrame({"photo": photos, "size": draw.normal(size=60), "kind": np.where(bright, "day", "night")})
    folder = tmp_path_factory.mktemp("pictures")
    return autodl.search(
        frame, "kind", trials=2, models=["cnn", "mlp"], jobs=1, output=folder / "run", folds=1, quiet=True
    )


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Rows that nobody was fitted on."""
    return people(12, seed=7).drop(columns="spent")


@pytest.fixture(scope="session")
def make_people() -> Callable[..., pd.DataFrame]:
    """Makes such rows."""
    return people
