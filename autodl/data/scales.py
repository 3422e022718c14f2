"""How numbers to predict may be seen: standardised, and where they are skewed through a logarithm first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autodl.errors import DataError
from autodl.records import Task
from autodl.tasks import TargetScale

SKEWED = 1.0
"""Sample skewness from which a logarithm is worth a try: that of an exponential is 2, that of a normal 0."""
MARGIN = 0.5
"""How far beyond the training rows an answer may go, in their standard deviations."""


def with_scales(task: Task, targets: np.ndarray, others: np.ndarray | None = None) -> Task:
    """Return the task with the ways that its numbers may be seen; the same task where none are predicted.

    Args:
        task: What is predicted.
        targets: Those of the training rows, as ``encode_targets`` gives them.
        others: Further targets that a scale must be able to take, such as those of the validation rows.

    Raises:
        DataError: The numbers are too far apart for float64.
    """
    if not task.is_numeric:
        return task
    with np.errstate(over="ignore", invalid="ignore"):
        plain = _fitted("none", targets, 0.0)
    if not np.isfinite([plain.location, plain.scale]).all():
        name = task.targets[int(np.argmin(np.isfinite(plain.scale)))]
        raise DataError(f"the target '{name}' must stay below 1e150 or so, however its spread overflows; divide it")
    shift = None if task.kind == "multioutput" else _shift(plain.forward(targets), targets, others)
    scales = (plain,) if shift is None else (plain, _fitted("log", np.log(targets + shift), shift))
    return replace(task, scales=scales)


def _shift(standard: np.ndarray, targets: np.ndarray, others: np.ndarray | None) -> float | None:
    """What to add before a logarithm; None where none is possible, or none is needed."""
    lowest = min(part.min() for part in (targets, others) if part is not None and len(part))
    if lowest < 0 or np.mean(standard**3) <= SKEWED:
        return None
    return 0.0 if lowest > 0 else 1.0


def _fitted(name: str, seen: np.ndarray, shift: float) -> TargetScale:
    """The scale that makes mean 0 and standard deviation 1 of each column; constant ones keep their unit."""
    columns = seen.reshape(len(seen), -1)
    location = columns.mean(axis=0)
    spread = columns.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    z = (columns - location) / scale
    return TargetScale(
        name,
        location=tuple(location.tolist()),
        scale=tuple(scale.tolist()),
        low=tuple((z.min(axis=0) - MARGIN).tolist()),
        high=tuple((z.max(axis=0) + MARGIN).tolist()),
        shift=shift,
    )
