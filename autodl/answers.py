"""From predictions as metrics take them to what a user reads: labels, numbers, probabilities, intervals, sets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.calibration import Calibration
from autodl.errors import DataError
from autodl.intervals import Conformal
from autodl.records import Task


def answers(task: Task, found: np.ndarray, calibration: Calibration) -> pd.Series | pd.DataFrame:
    """The likeliest class as the user wrote it, or the number, for every row; with several targets a column each.

    Args:
        task: What is predicted.
        found: Calibrated predictions, as ``Task`` says.
        calibration: Where the line between classes lies.
    """
    if task.is_classification:
        labels = pd.Series(list(task.classes)).take(calibration.decide(found))
        return labels.reset_index(drop=True).rename(task.target)
    if task.kind == "regression":
        return pd.Series(found, name=task.target)
    if task.kind == "multilabel":
        return pd.DataFrame(calibration.decide(found).astype(np.int64), columns=list(task.targets))
    return pd.DataFrame(found, columns=number_columns(task))


def probabilities(task: Task, found: np.ndarray) -> pd.DataFrame:
    """The probability of each class, or that each 0/1 target is 1, a column each.

    Raises:
        DataError: Numbers are predicted.
    """
    if task.is_numeric:
        raise DataError(
            f"there must be classes to give probabilities of, however '{task.target}' is a number; use predict"
        )
    return pd.DataFrame(found, columns=list(task.classes if task.is_classification else task.targets))


def intervals(
    task: Task, found: np.ndarray, calibration: Calibration, conformal: Conformal | None, coverage: float
) -> pd.DataFrame:
    """Predictions with ``low`` and ``high`` for numbers, or with the set of classes that may be true.

    Args:
        task: What is predicted.
        found: Calibrated predictions, as ``Task`` says.
        calibration: Where the line between classes lies.
        conformal: How far predictions were off on rows that nothing was fitted on; None where that is not known.
        coverage: Share of rows whose truth shall lie inside, such as 0.9.
    """
    if not 0 < coverage < 1:
        raise DataError(f"the coverage of intervals must lie between 0 and 1, however {coverage} came; 0.9 is usual")
    if task.kind == "multilabel":
        raise DataError(
            "intervals are for numbers and sets for classes, however several 0/1 targets are predicted; "
            "use their probabilities"
        )
    if conformal is None:
        raise DataError("the predictor must know its errors to give intervals, however it does not; search again")
    frame = pd.DataFrame(answers(task, found, calibration))
    if task.is_classification:
        inside = conformal.sets(found, coverage)
        labels = np.array([str(label) for label in task.classes], dtype=object)
        frame[f"{task.target} set"] = ["|".join(labels[row]) for row in inside]
        return frame
    low, high = conformal.intervals(found, coverage)
    names = [task.target] if task.kind != "multioutput" else list(task.targets)
    for name, below, above in zip(names, _columns(low), _columns(high), strict=True):
        frame[f"{name} low"], frame[f"{name} high"] = below, above
    return frame


def number_columns(task: Task) -> list[str]:
    """The names of predicted numbers: the targets', or the target's with each quantile level behind it."""
    if task.kind == "quantile":
        return [f"{task.target} {level:g}" for level in task.quantiles]
    return list(task.targets)


def _columns(values: np.ndarray) -> list[np.ndarray]:
    return [values] if values.ndim == 1 else list(values.T)
