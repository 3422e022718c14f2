"""Cells of the targets → class indices, 0/1 labels or numbers, the same way for every table."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from autodl.data.cells import as_numbers, as_truth, as_words, check_plain, distinct, word
from autodl.data.table import shown
from autodl.errors import DataError
from autodl.records import Task

Label: TypeAlias = bool | int | float | str


def encode_targets(table: pd.DataFrame, task: Task) -> np.ndarray:
    """Return class indices (int64, -1 where missing), or numbers (float64, NaN where missing or no number).

    Shape: ``(rows,)``; ``(rows, targets)``, 0 or 1 for ``multilabel``, where several targets are predicted.

    Raises:
        DataError: A label is none of the task's classes, or a number is infinite.
    """
    encode = {"multilabel": _labels, "binary": _classes, "multiclass": _classes}.get(task.kind, _numbers)
    columns = [encode(table[name], task) for name in task.targets]
    return columns[0] if task.kind not in ("multilabel", "multioutput") else np.stack(columns, axis=1)


def missing_targets(targets: np.ndarray) -> np.ndarray:
    """Whether a target of each row is missing, as ``encode_targets`` marks it."""
    if targets.dtype.kind != "f":
        return targets < 0
    return np.asarray(np.isnan(targets).reshape(len(targets), -1).any(axis=1))


def label_of(value: Any) -> Label:
    """Return a class label as plain Python, of the type that the user wrote where JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else str(value)


def refuse_infinity(numbers: np.ndarray, name: str) -> None:
    """Refuse targets that are infinite.

    Raises:
        DataError: Some are.
    """
    if (count := int(np.isinf(numbers).sum())) > 0:
        raise DataError(
            f"the target '{name}' must be finite, however {count:,} of {len(numbers):,} cells hold infinity; "
            "mend or drop these rows"
        )


def _numbers(cells: pd.Series, task: Task) -> np.ndarray:
    check_plain(cells)
    numbers = np.array(as_numbers(cells))  # a copy: as_numbers may return the user's own cells
    refuse_infinity(numbers, str(cells.name))
    return numbers


def _labels(cells: pd.Series, task: Task) -> np.ndarray:
    check_plain(cells)
    labels = as_truth(cells)
    odd = np.isnan(labels)
    if odd.any() and (odd := odd & [text is not None for text in as_words(cells)]).any():
        raise DataError(
            f"the target '{cells.name}' must hold 0 and 1, yes and no or true and false, however "
            f"'{shown(cells.iloc[int(np.flatnonzero(odd)[0])])}' came; mend or drop these rows"
        )
    return labels


def _classes(cells: pd.Series, task: Task) -> np.ndarray:
    check_plain(cells)
    codes, values = distinct(cells)
    indices = np.array([*(_class_index(label_of(value), task) for value in values), -1], dtype=np.int64)
    unseen = [value for value, index in zip(values, indices, strict=False) if index < 0 and word(value) is not None]
    if unseen:
        raise DataError(
            f"the target '{task.target}' must hold the classes {', '.join(map(shown, task.classes[:10]))}"
            f"{' …' if len(task.classes) > 10 else ''}, however '{shown(unseen[0])}' came; mend or drop these rows"
        )
    return np.asarray(indices[codes])


def _class_index(label: Label, task: Task) -> int:
    if word(label) is None:
        return -1
    for index, known in enumerate(task.classes):
        if known == label:
            return index
    written = word(label)  # 1 in a CSV may be "1" in JSON
    return next((index for index, known in enumerate(task.classes) if word(known) == written), -1)
