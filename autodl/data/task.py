"""The task from the target's cells: binary, multiclass or regression, its classes, and targets as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from autodl.data.cells import as_numbers, as_words, check_plain, distinct, word
from autodl.data.dates import SHARE
from autodl.data.table import shown
from autodl.errors import DataError
from autodl.records import Task, TaskKind

MAX_CLASSES = 1000
FEW_CLASSES = 20
"""Whole numbers are classes where there are at most so many of them …"""
ROWS_A_CLASS = 5
"""… and on average at least so many rows of each."""

Label: TypeAlias = bool | int | float | str


@dataclass(frozen=True, eq=False)
class _Target:
    """The target's cells, looked at: its name, cells that are there, their different labels, and all as numbers."""

    name: str
    labels: tuple[Label, ...]
    numbers: np.ndarray
    whole: bool
    words: bool
    categorical: bool

    @property
    def rows(self) -> int:
        return len(self.numbers)

    @property
    def numeric_share(self) -> float:
        return float(np.mean(~np.isnan(self.numbers)))


def infer_task(cells: pd.Series, said: str | None = None) -> tuple[Task, str]:
    """Return the task and why it is taken for that.

    Args:
        cells: The target's raw cells; missing ones are passed over.
        said: The kind that the user says.

    Raises:
        DataError: The target is empty, has one value, is infinite, or does not fit what is said.
    """
    target = _look_at(cells)
    if len(target.labels) < 2:
        raise DataError(
            f"the target '{target.name}' must have at least two values, however all {target.rows:,} rows hold "
            f"'{shown(target.labels[0])}'; choose another --target"
        )
    kind, why = _infer_kind(target) if said is None else _check_kind(said, target)
    if kind == "regression":
        return Task(target.name, kind), why
    if len(target.labels) > MAX_CLASSES:
        raise DataError(
            f"the target '{target.name}' must have at most {MAX_CLASSES:,} classes, however {len(target.labels):,} "
            "came; choose another --target, or say --task regression if they are numbers"
        )
    if len(target.labels) == target.rows:
        raise DataError(
            f"the target '{target.name}' must have classes with several rows, however all {target.rows:,} rows differ; "
            "choose another --target, or say --task regression if they are numbers"
        )
    return Task(target.name, kind, classes=target.labels), why


def encode_targets(cells: pd.Series, task: Task) -> np.ndarray:
    """Return class indices (int64, -1 where missing) or numbers (float64, NaN where missing or no number).

    Raises:
        DataError: A label is none of the task's classes, or a number is infinite.
    """
    check_plain(cells)
    if not task.is_classification:
        numbers = np.array(as_numbers(cells))  # a copy: as_numbers may return the user's own cells
        _refuse_infinity(numbers, task.target)
        return numbers
    codes, values = distinct(cells)
    indices = np.array([*(_class_index(_label(value), task) for value in values), -1], dtype=np.int64)
    unseen = [value for value, index in zip(values, indices, strict=False) if index < 0 and word(value) is not None]
    if unseen:
        raise DataError(
            f"the target '{task.target}' must hold the classes {', '.join(map(shown, task.classes[:10]))}"
            f"{' …' if len(task.classes) > 10 else ''}, however '{shown(unseen[0])}' came; mend or drop these rows"
        )
    return np.asarray(indices[codes])


def missing_targets(targets: np.ndarray) -> np.ndarray:
    """Whether each target is missing, as ``encode_targets`` marks it."""
    return np.isnan(targets) if targets.dtype.kind == "f" else targets < 0


def with_scale(task: Task, targets: np.ndarray) -> Task:
    """Return the task with mean and standard deviation of the training rows' targets (regression)."""
    if task.is_classification:
        return task
    with np.errstate(over="ignore", invalid="ignore"):
        location, scale = float(np.mean(targets)), float(np.std(targets))
    if not np.isfinite([location, scale]).all():
        raise DataError(
            f"the target '{task.target}' must stay below 1e150 or so, however its spread overflows; divide it"
        )
    return replace(task, location=location, scale=scale or 1.0)


def _look_at(cells: pd.Series) -> _Target:
    name = str(cells.name)
    check_plain(cells)
    texts = as_words(cells)
    there = np.array([text is not None for text in texts])
    if not there.any():
        raise DataError(
            f"the target '{name}' must hold values, however all {len(cells):,} cells are empty; choose another --target"
        )
    present = cells[there]
    if present.dtype.kind == "M" or isinstance(present.dtype, pd.PeriodDtype):
        raise DataError(
            f"the target '{name}' must hold classes or numbers, however it holds dates; make them numbers, such as days"
        )
    numbers = as_numbers(present)
    _refuse_infinity(numbers, name)
    labels = [_label(value) for value in pd.unique(present)]
    # A missing cell turns a column of whole numbers into floats: its labels are whole again.
    if present.dtype.kind == "f" and not there.all() and all(float(label).is_integer() for label in labels):
        labels = [int(label) for label in labels]
    known = numbers[~np.isnan(numbers)]
    return _Target(
        name,
        _in_order(labels),
        numbers,
        whole=bool(np.all(known == np.round(known))),
        words=present.dtype.kind not in "iufm",
        categorical=isinstance(present.dtype, pd.CategoricalDtype),
    )


def _infer_kind(target: _Target) -> tuple[TaskKind, str]:
    distinct = len(target.labels)
    if distinct == 2:
        return "binary", f"'{target.name}' has two values"
    few = distinct <= FEW_CLASSES and distinct * ROWS_A_CLASS <= target.rows
    if target.categorical or (target.words and (few or target.numeric_share < SHARE)):
        return "multiclass", f"'{target.name}' holds {distinct:,} different words"
    if few and target.whole:
        return "multiclass", f"'{target.name}' holds only {distinct} different whole numbers"
    return "regression", f"'{target.name}' holds {distinct:,} different numbers"


def _check_kind(said: str, target: _Target) -> tuple[TaskKind, str]:
    why = "as you said"
    if said == "regression":
        if target.numeric_share < SHARE:
            raise DataError(
                f"the target '{target.name}' must hold numbers for --task regression, however "
                f"{np.isnan(target.numbers).sum():,} of {target.rows:,} cells hold words such as "
                f"'{shown(next(label for label in target.labels if isinstance(label, str)))}'; say --task multiclass"
            )
        return "regression", why
    if said == "binary":
        if len(target.labels) != 2:
            raise DataError(
                f"the target '{target.name}' must have two values for --task binary, however {len(target.labels):,} "
                "came; say --task multiclass or regression"
            )
        return "binary", why
    return "multiclass", why


def _label(value: Any) -> Label:
    """Return a class label as plain Python, of the type that the user wrote where JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else str(value)


def _in_order(labels: list[Label]) -> tuple[Label, ...]:
    try:
        return tuple(sorted(set(labels)))
    except TypeError:
        return tuple(sorted(set(labels), key=lambda label: (type(label).__name__, str(label))))


def _class_index(label: Label, task: Task) -> int:
    if word(label) is None:
        return -1
    for index, known in enumerate(task.classes):
        if known == label:
            return index
    written = word(label)  # 1 in a CSV may be "1" in JSON
    return next((index for index, known in enumerate(task.classes) if word(known) == written), -1)


def _refuse_infinity(numbers: np.ndarray, name: str) -> None:
    if (count := int(np.isinf(numbers).sum())) > 0:
        raise DataError(
            f"the target '{name}' must be finite, however {count:,} of {len(numbers):,} cells hold infinity; "
            "mend or drop these rows"
        )
