"""What a search tells its listener, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from autodl.records import Schema, Task, TrialRecord


@dataclass(frozen=True)
class Started:
    """The data is read and split, the space is known, the first trial is about to start.

    Attributes:
        folder: The run folder.
        source: The data, as the user named it.
        task: What is predicted, and by which metric.
        schema: What each column was taken for.
        rows: Rows of each part, by ``train``, ``validation`` and ``test``, and ``how`` they were split.
        notes: Lines to say: what was inferred, left out, not readable.
        deadline: ``time.time()`` at which everything is over; None without a time limit.
        trials: Trials asked for; None for as many as fit.
        device: Where networks train, in words.
        knobs: How many hyperparameters the space has.
    """

    folder: Path
    source: str
    task: Task
    schema: Schema
    rows: Mapping[str, Any]
    notes: tuple[str, ...]
    deadline: float | None
    trials: int | None
    device: str
    knobs: int


@dataclass(frozen=True)
class PackStarted:
    """Trials begin, or go on, to train together.

    Attributes:
        numbers: The trials.
        what: Structure in words, such as ``mlp 3 × 256, adamw``.
        epoch: Epochs they have behind them.
        until: Epoch they train to now.
    """

    numbers: tuple[int, ...]
    what: str
    epoch: int
    until: int


@dataclass(frozen=True)
class EpochDone:
    """A pack finished an epoch (told a few times a second at most).

    Attributes:
        numbers: The trials still in the pack.
        epoch: The epoch.
        scores: Best validation score so far of each; NaN before the first.
    """

    numbers: tuple[int, ...]
    epoch: int
    scores: tuple[float, ...]


@dataclass(frozen=True)
class TrialChanged:
    """A trial reached a rung, its end, or failed.

    Attributes:
        record: The trial as it stands.
        best: The best trial so far, by validation score.
    """

    record: TrialRecord
    best: TrialRecord | None


@dataclass(frozen=True)
class Said:
    """A line for the user: a worker died and its pack starts again, a pack was halved for want of memory …"""

    text: str


@dataclass(frozen=True)
class Finished:
    """The predictor is saved.

    Attributes:
        folder: The run folder.
        summary: ``state`` (``finished``, ``stopped``), ``seconds``, ``trials`` (count by state), ``metric``, ``best``
            (number, score, what), ``validation`` and ``test`` (metric name → value of the final predictor), ``columns``
            (used), ``failures`` (reason → count).
    """

    folder: Path
    summary: Mapping[str, Any]


Event: TypeAlias = Started | PackStarted | EpochDone | TrialChanged | Said | Finished
Listener: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
