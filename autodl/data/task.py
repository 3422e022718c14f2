"""The task from one target's cells: binary, multiclass, regression or quantile, and its classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autodl.data.cells import as_numbers, as_words, check_plain
from autodl.data.dates import SHARE
from autodl.data.table import shown
from autodl.data.targets import Label, label_of, refuse_infinity
from autodl.errors import DataError
from autodl.records import Task, TaskKind

MAX_CLASSES = 1000
FEW_CLASSES = 20
"""Whole numbers are classes where there are at most so many of them …"""
ROWS_A_CLASS = 5
"""… and on average at least so many rows of each."""


@dataclass(frozen=True, eq=False)
class TargetCells:
    """The target's cells, looked at: its name, cells that are there, their different labels, and all as numbers."""

    name: str
    labels: tuple[Label, ...]
    numbers: np.ndarray
    whole: bool
    words: bool
    categorical: bool

    @property
    def rows(self) -> int:
        """How many cells are there."""
        return len(self.numbers)

    @property
    def numeric_share(self) -> float:
        """How many of them are numbers."""
        return float(np.mean(~np.isnan(self.numbers)))


def infer_task(cells: pd.Series, said: str | None = None, quantiles: tuple[float, ...] = ()) -> tuple[Task, str]:
    """Return the task and why it is taken for that.

    Args:
        cells: The target's raw cells; missing ones are passed over.
        said: The kind that the user says.
        quantiles: Levels that the user asks for.

    Raises:
        DataError: The target is empty, has one value, is infinite, or does not fit what is said.
    """
    target = look_at(cells)
    if quantiles:
        _check_numbers(target, "--quantiles", "leave --quantiles out")
        return Task(target.name, "quantile", quantiles=quantiles), "as its quantiles are asked for"
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


def look_at(cells: pd.Series) -> TargetCells:
    """Look at a target's cells.

    Raises:
        DataError: They are empty, all the same, dates, or infinite.
    """
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
    refuse_infinity(numbers, name)
    labels = [label_of(value) for value in pd.unique(present)]
    # A missing cell turns a column of whole numbers into floats: its labels are whole again.
    if present.dtype.kind == "f" and not there.all() and all(float(label).is_integer() for label in labels):
        labels = [int(label) for label in labels]
    if len(set(labels)) < 2:
        raise DataError(
            f"the target '{name}' must have at least two values, however all {len(present):,} rows hold "
            f"'{shown(labels[0])}'; choose another --target"
        )
    known = numbers[~np.isnan(numbers)]
    return TargetCells(
        name,
        _in_order(labels),
        numbers,
        whole=bool(np.all(known == np.round(known))),
        words=present.dtype.kind not in "iufm",
        categorical=isinstance(present.dtype, pd.CategoricalDtype),
    )


def _infer_kind(target: TargetCells) -> tuple[TaskKind, str]:
    distinct = len(target.labels)
    if distinct == 2:
        return "binary", f"'{target.name}' has two values"
    few = distinct <= FEW_CLASSES and distinct * ROWS_A_CLASS <= target.rows
    if target.categorical or (target.words and (few or target.numeric_share < SHARE)):
        return "multiclass", f"'{target.name}' holds {distinct:,} different words"
    if few and target.whole:
        return "multiclass", f"'{target.name}' holds only {distinct} different whole numbers"
    return "regression", f"'{target.name}' holds {distinct:,} different numbers"


def _check_kind(said: str, target: TargetCells) -> tuple[TaskKind, str]:
    why = "as you said"
    if said == "regression":
        _check_numbers(target, "--task regression", "say --task multiclass")
        return "regression", why
    if said == "binary":
        if len(target.labels) != 2:
            raise DataError(
                f"the target '{target.name}' must have two values for --task binary, however {len(target.labels):,} "
                "came; say --task multiclass or regression"
            )
        return "binary", why
    return "multiclass", why


def _in_order(labels: list[Label]) -> tuple[Label, ...]:
    try:
        return tuple(sorted(set(labels)))
    except TypeError:
        return tuple(sorted(set(labels), key=lambda label: (type(label).__name__, str(label))))


def _check_numbers(target: TargetCells, option: str, advice: str) -> None:
    if target.numeric_share < SHARE:
        raise DataError(
            f"the target '{target.name}' must hold numbers for {option}, however "
            f"{np.isnan(target.numbers).sum():,} of {target.rows:,} cells hold words such as "
            f"'{shown(next(label for label in target.labels if isinstance(label, str)))}'; {advice}"
        )
