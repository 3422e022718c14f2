"""What learners share: targets a column at a time, classes that a fold lacks, shares, quantiles of weighted values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodl.records import Task


def split(task: Task, targets: np.ndarray) -> list[np.ndarray]:
    """Return what is to be learnt as one column a learner: one a target, and one a level where quantiles are asked."""
    if task.kind == "quantile":
        return [targets] * len(task.quantiles)
    return list(targets.T) if targets.ndim == 2 else [targets]


def join(task: Task, answers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the answers of one learner a column as one array; the inverse of ``split``.

    Shape: each rows classes where classes or labels are predicted, else rows → rows … as ``Task`` says.
    """
    if task.is_classification:
        return answers[0]
    if task.kind == "multilabel":
        return np.stack([answer[:, 1] for answer in answers], axis=1)
    if task.kind == "regression":
        return answers[0]
    together = np.stack(answers, axis=1)
    return np.sort(together, axis=1) if task.kind == "quantile" else together


def n_classes(task: Task) -> int:
    """How many classes a column has: two for a 0/1 label, none where it holds numbers."""
    return len(task.classes) if task.is_classification else 2 if task.kind == "multilabel" else 0


def spread(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Give each class its column; one that the training rows lack has probability 0.

    Shape: rows labels, labels → rows classes.
    """
    whole = np.zeros((len(probabilities), classes))
    whole[:, np.asarray(labels, np.int64)] = probabilities
    return whole


def softmax(sums: np.ndarray) -> np.ndarray:
    """Return the probabilities of which ``sums`` are the logarithms, but for a constant. Shape: rows labels → same."""
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(sums: np.ndarray) -> np.ndarray:
    """Return the probabilities of two labels, ``sums`` being the logarithm of the second's odds. Shape: rows → rows 2.

    Of either tail the small probability keeps all its digits.
    """
    odds = np.exp(-np.abs(sums))
    small, large = odds / (1 + odds), 1 / (1 + odds)
    return np.where((sums > 0)[:, None], np.stack([small, large], axis=1), np.stack([large, small], axis=1))


def shares(column: np.ndarray, classes: int, weights: np.ndarray | None) -> np.ndarray:
    """Return the share of each class in a column of labels. Shape: rows → classes."""
    counts = np.bincount(column.astype(np.int64), weights=weights, minlength=classes)
    return np.asarray(counts / counts.sum())


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return, for each row, the least of its values below or at which a level's share of the weight lies.

    Shape: rows values, rows values → rows levels.
    """
    order = np.argsort(values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    below = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    below /= below[:, -1:]
    first = [np.argmax(below >= level - 1e-9, axis=1) for level in levels]  # rounding must not skip a value
    return np.take_along_axis(ranked, np.stack(first, axis=1), axis=1)
