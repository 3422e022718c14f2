"""Columns that give the target away: equal to it, proportional to it, or one value for each class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.data.cells import distinct
from autodl.records import Column, Task

_PRESENT = 0.9
_CLOSE = 1e-9


def copies_of_target(
    frame: pd.DataFrame, columns: tuple[Column, ...], targets: np.ndarray, task: Task
) -> dict[str, str]:
    """Return the columns that are a target under another name, each with the reason.

    Args:
        frame: Cast cells.
        columns: The columns to look at.
        targets: As ``autodl.data.targets.encode_targets`` gives them; none is missing.
        task: What is predicted.
    """
    found: dict[str, str] = {}
    for column in columns:
        if column.kind in ("image", "audio", "text", "ignored"):
            continue
        for place, values in enumerate(targets.reshape(len(targets), -1).T):
            reason = _reason(frame[column.name], column, values, task)
            if reason:
                found[column.name] = reason.format(f"'{task.targets[place]}'" if task.further else "the target")
                break
    return found


def _reason(cells: pd.Series, column: Column, targets: np.ndarray, task: Task) -> str:
    """Why the column is that target, with ``{}`` for its name; empty where it is not."""
    if task.is_numeric:
        return _proportional(cells.to_numpy(), targets) if column.kind == "number" else ""
    classes = len(task.classes) or 2
    return "one value for each class of {}" if _one_to_one(cells, targets.astype(np.int64), classes) else ""


def _one_to_one(cells: pd.Series, targets: np.ndarray, classes: int) -> bool:
    codes, values = distinct(cells)
    there = codes >= 0
    if len(values) != classes or there.mean() < _PRESENT:
        return False
    return len(np.unique(codes[there] * classes + targets[there])) == classes


def _proportional(values: np.ndarray, targets: np.ndarray) -> str:
    there = np.isfinite(values)
    if there.mean() < _PRESENT:
        return ""
    values, targets = values[there], targets[there]
    largest = np.abs(values).max(initial=0)
    scale = np.abs(targets).max(initial=0)
    if not largest or not scale:
        return ""
    # From the largest entry, where rounding matters least; dividing first keeps huge numbers finite.
    top = int(np.abs(values).argmax())
    factor = (targets[top] / scale) / (values[top] / largest)
    if not np.allclose(values / largest * factor, targets / scale, rtol=_CLOSE, atol=_CLOSE):
        return ""
    ratio = factor * scale / largest
    return "equal to {}" if abs(ratio - 1) < _CLOSE else f"{{}}, divided by {ratio:.6g}"
