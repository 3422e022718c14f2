"""The task from the cells of several targets: 0/1 labels, or numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.data.cells import as_truth
from autodl.data.dates import SHARE
from autodl.data.table import listed, shown
from autodl.data.task import TargetCells, look_at
from autodl.errors import DataError
from autodl.records import Task

_ALL_LABELS = "0 and 1, yes and no or true and false"


def infer_several(table: pd.DataFrame, names: tuple[str, ...], said: str | None = None) -> tuple[Task, str]:
    """Return the task of predicting several targets together, and why it is taken for that.

    Args:
        table: Raw cells; missing ones are passed over.
        names: The targets.
        said: ``multilabel`` or ``multioutput``, where the user says it.

    Raises:
        DataError: A target is empty, has one value or is infinite; or they are not all labels or all numbers.
    """
    targets = [look_at(table[name]) for name in names]
    labels = [target.name for target in targets if _are_labels(target)]
    numbers = [target.name for target in targets if target.numeric_share >= SHARE]
    if said == "multilabel" or (said is None and len(labels) == len(names)):
        _refuse_others(targets, labels, f"{_ALL_LABELS} for --task multilabel", "say --task multioutput for numbers")
        return Task(names[0], "multilabel", further=names[1:]), f"{listed(names)} hold {_ALL_LABELS}"
    if said is None and labels:
        other = next(target for target in targets if target.name not in labels)
        raise DataError(
            f"several targets must be all labels of two values or all numbers, however '{labels[0]}' holds labels and "
            f"'{other.name}' does not; say --task multioutput to take all as numbers, or predict them one by one"
        )
    what = f"numbers or {_ALL_LABELS} where several are predicted"
    _refuse_others(targets, numbers, what, "predict it alone, or make it a 0/1 column a class")
    return Task(names[0], "multioutput", further=names[1:]), f"{listed(names)} hold numbers"


def _are_labels(target: TargetCells) -> bool:
    """Whether every cell says yes or no, and both come."""
    truth = as_truth(pd.Series(list(target.labels), dtype=object))
    return set(truth.tolist()) == {0.0, 1.0} and not np.isnan(truth).any()


def _refuse_others(targets: list[TargetCells], fitting: list[str], what: str, advice: str) -> None:
    for target in targets:
        if target.name not in fitting:
            words = [label for label in target.labels if isinstance(label, str)]
            raise DataError(
                f"the target '{target.name}' must hold {what}, however it holds such as "
                f"'{shown((words or target.labels)[0])}'; {advice}"
            )
