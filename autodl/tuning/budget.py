"""How long a training is, how many share a pack, and what is kept for the end: deterministic in the data's size."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autodl import registry
from autodl.records import InputSpec, TrialConfig

UPDATES = 3_000  # a full training of a small network, at the batches of usual size
MOST_EPOCHS, FEWEST_EPOCHS = 120, 9
SECONDS_PER_PIXEL = 2e-7  # one training pass of a small CNN over one pixel, one core
SECONDS_PER_ROW = 1.5e-5  # one training pass of an MLP over one row of a table, one core
USUAL_FEATURES = 100  # of a table; a row of ten times as many costs some ten times as much
SECONDS_PER_UPDATE = {True: 6e-3, False: 1e-3}  # what an update of a CNN, or of an MLP, costs beside its rows
FULL_TRAININGS = 6  # a worker should have time for so many


@dataclass
class Clock:
    """Wall time.

    Attributes:
        started: ``time.time()`` at which the command began.
        seconds: The budget for everything; None without one.
        reserve: Seconds that the end needs: choosing, evaluating, saving.
    """

    started: float
    seconds: float | None
    reserve: float = 2.0

    @property
    def deadline(self) -> float | None:
        """When everything must be over."""
        return None if self.seconds is None else self.started + self.seconds

    @property
    def training_deadline(self) -> float | None:
        """When training must be over."""
        return None if self.deadline is None else self.deadline - self.reserve

    def left(self) -> float:
        """Seconds of training left; infinite without a budget."""
        return math.inf if self.training_deadline is None else self.training_deadline - time.time()

    def share_left(self) -> float:
        """Share of the budget that is left for training."""
        return 1.0 if self.seconds is None else max(0.0, self.left() / self.seconds)


def epoch_seconds(specs: Mapping[str, InputSpec], rows: int, batch: int) -> float:
    """A rough guess of one epoch of one network on one core: it lays out schedules, and decides nothing else."""
    seconds = 0.0
    for spec in specs.values():
        convolves = len(spec.shape) > 1
        entries = math.prod(spec.shape)
        row = entries * SECONDS_PER_PIXEL if convolves else SECONDS_PER_ROW * (1 + entries / USUAL_FEATURES)
        seconds += rows * row + rows / batch * SECONDS_PER_UPDATE[convolves]
    return seconds


def relative_cost(config: TrialConfig, specs: Mapping[str, InputSpec], rows: int, batch: int) -> float:
    """A rough guess of one epoch of a network, in seconds, by what its encoders do with their inputs."""
    seconds = 0.0
    for name, part in config.encoders.items():
        convolves = registry.encoders.load(part.name).convolutional
        entries = math.prod(specs[name].shape)
        row = entries * SECONDS_PER_PIXEL if convolves else SECONDS_PER_ROW * (1 + entries / USUAL_FEATURES)
        seconds += rows * row + rows / batch * SECONDS_PER_UPDATE[convolves]
    return seconds


def lengths(
    epochs: int, first: TrialConfig | None, specs: Mapping[str, InputSpec], rows: int, batch: int
) -> Callable[[TrialConfig], int]:
    """How long a configuration trains.

    Where configurations read different inputs, each gets about the time of the first, so that one input alone may take
    longer. A share (``training.length``) is one of the epochs that there would be without a budget.

    Args:
        epochs: Of the first configuration that is tried.
        first: That one; None where all read the same inputs.
        specs: What each input looks like.
        rows: Rows that a network trains on.
        batch: Rows of an update.
    """
    most = max(epochs, full_epochs(specs, rows, batch, None))
    usual = relative_cost(first, specs, rows, batch) if first else 0.0

    def length(config: TrialConfig) -> int:
        if config.estimator:
            return config.epochs
        found = epochs
        if first:
            fair = round(epochs * usual / relative_cost(config, specs, rows, batch))
            found = max(min(epochs, FEWEST_EPOCHS), min(most, fair))
        share = float(config.training.get("length", 1.0))
        return max(1, round(share * found) if share >= 1 else min(found, round(share * most)))

    return length


def full_epochs(
    specs: Mapping[str, InputSpec], rows: int, batch: int, seconds: float | None, one_epoch: float | None = None
) -> int:
    """Epochs of a whole training: enough updates, and short enough that a worker can do a few in the time.

    Args:
        specs: What each input looks like.
        rows: Rows that a network trains on.
        batch: Rows of an update.
        seconds: The budget.
        one_epoch: Seconds that an epoch of a trial with all its folds takes; None guesses that of one network.
    """
    updates = max(1, rows // batch)
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(UPDATES / updates)))
    if any(len(spec.shape) == 1 for spec in specs.values()):
        epochs = max(epochs, 3 * FEWEST_EPOCHS)
    if seconds is None:
        return epochs
    affordable = seconds / FULL_TRAININGS / (one_epoch or epoch_seconds(specs, rows, batch))
    return max(1, min(epochs, math.floor(affordable)))


def pack_size(one_epoch: float, epochs: int, seconds: float | None, largest: int) -> int:
    """Members of a new pack: fewer where its first rung would take more than a twentieth of the time.

    Args:
        one_epoch: Seconds of an epoch of one trial, all its folds.
        epochs: Length of a whole training.
        seconds: The budget.
        largest: What the device bears.
    """
    if seconds is None:
        return largest
    one = one_epoch * max(1, epochs / 9)
    return max(1, min(largest, math.floor(seconds / 20 / one)))


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
