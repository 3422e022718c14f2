"""What each metric computes, in numpy alone: targets and predictions → one number.

How targets and predictions of each kind of task look stands in ``autodl.tasks.Task``. Targets with two axes mean
several 0/1 targets, or several numbers: a value is then the plain mean of the targets' own values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

BINS = 15  # of confidence, for the calibration error


def accuracy(targets: Array, predictions: Array) -> float:
    """Share of rows whose likeliest class is the true one; of 0/1 targets, share that is right."""
    if targets.ndim == 2:
        return float(((predictions > 0.5) == (targets > 0.5)).mean())
    return float(COUNTED["accuracy"](*_counts(targets, predictions)))


def balanced_accuracy(targets: Array, predictions: Array) -> float:
    """Mean over classes of the share of their rows that is found.

    Classes without rows are left out.
    """
    return float(COUNTED["balanced_accuracy"](*_counts(targets, predictions)))


def f1(targets: Array, predictions: Array) -> float:
    """Harmonic mean of precision and recall of the second class; 0 where it neither occurs nor is predicted."""
    return float(COUNTED["f1"](*_counts(targets, predictions)))


def f1_macro(targets: Array, predictions: Array) -> float:
    """Mean over classes, or over 0/1 targets, of the harmonic mean of precision and recall.

    Classes that neither occur nor are predicted are left out; a 0/1 target without any counts 0.
    """
    counts = _counts(targets, predictions)
    return float(_f1_scores(*counts).mean() if targets.ndim == 2 else COUNTED["f1_macro"](*counts))


def f1_weighted(targets: Array, predictions: Array) -> float:
    """Mean over classes, or over 0/1 targets, of F1, weighted by how often each occurs; 0 where none does."""
    return float(COUNTED["f1_weighted"](*_counts(targets, predictions)))


def mcc(targets: Array, predictions: Array) -> float:
    """Correlation of predicted and true classes (Matthews); 0 is guessing, or one class alone.

    Reference:
        Gorodkin: Comparing two K-category assignments by a K-category correlation coefficient, Computational Biology
        and Chemistry 28 (2004), equation 8.
    """
    return float(COUNTED["mcc"](*_counts(targets, predictions)))


def roc_auc(targets: Array, predictions: Array) -> float:
    """Chance that a row of a class is ranked above a row of another; 0.5 is guessing.

    With two classes that of the second one; with more the mean over classes against the rest; else the mean over 0/1
    targets. What no row, or every row, belongs to is left out; NaN where nothing is left. Ties count one half.
    """
    return _mean(_ranked_above(positive, scores) for positive, scores in _one_against_rest(targets, predictions))


def average_precision(targets: Array, predictions: Array) -> float:
    """Mean of the precision at each true row from the likeliest down; the class's share is guessing.

    With two classes that of the second one; with more the mean over classes against the rest; else the mean over 0/1
    targets. What no row belongs to is left out; NaN where nothing is left. Equal scores stand at the same place.
    """
    return _mean(_precision(positive, scores) for positive, scores in _one_against_rest(targets, predictions))


def log_loss(targets: Array, predictions: Array) -> float:
    """Mean of -log p of what is true; a p of 0 counts as the smallest step from 1."""
    smallest = np.finfo(predictions.dtype).eps
    if targets.ndim == 2:
        true = np.where(targets > 0.5, predictions, 1 - predictions)
    else:
        true = predictions[np.arange(len(targets)), targets]
    return -float(np.log(true.clip(smallest, 1 - smallest)).mean())


def brier(targets: Array, predictions: Array) -> float:
    """Mean squared distance of probabilities from the truth.

    Summed over classes; with two classes that of the second one alone, which is half of it.
    """
    if targets.ndim == 2:
        return float(((predictions - targets) ** 2).mean())
    distance = np.array(predictions)
    distance[np.arange(len(targets)), targets] -= 1
    return float(np.vdot(distance, distance)) / len(targets) / (2 if predictions.shape[1] == 2 else 1)


def ece(targets: Array, predictions: Array) -> float:
    """Mean gap between how sure the likeliest class is and how often it is right, over 15 bins.

    Reference:
        Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, arXiv 1706.04599, equation 3.
    """
    sure = predictions.max(axis=1)
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)  # a bin holds its upper edge
    gap = np.bincount(bins, weights=(predictions.argmax(axis=1) == targets) - sure, minlength=BINS)
    return float(np.abs(gap).sum() / len(targets))


def rmse(targets: Array, predictions: Array, levels: Sequence[float] = ()) -> float:
    """Root of the mean squared error, in the target's unit; of quantiles, that of the level nearest to the median."""
    error = _middle(targets, predictions, levels) - targets
    if error.ndim == 2:
        return float(np.sqrt((error**2).mean(axis=0)).mean())
    return math.sqrt(np.dot(error, error) / len(error))


def mae(targets: Array, predictions: Array, levels: Sequence[float] = ()) -> float:
    """Mean absolute error, in the target's unit; of quantiles, that of the level nearest to the median."""
    return float(np.abs(_middle(targets, predictions, levels) - targets).mean())


def mape(targets: Array, predictions: Array) -> float:
    """Mean absolute error as a share of the target; targets of 0 make it huge."""
    smallest = np.finfo(np.float64).eps
    return float((np.abs(predictions - targets) / np.maximum(np.abs(targets), smallest)).mean())


def r2(targets: Array, predictions: Array) -> float:
    """Share of the target's variance that is explained; 0 is predicting the mean.

    Where all targets are equal, 1 if they are met and else 0; NaN with one row.
    """
    if len(targets) < 2:
        return math.nan
    if targets.ndim == 2:
        return float(np.mean([r2(*pair) for pair in zip(targets.T, predictions.T, strict=True)]))
    error, spread = predictions - targets, targets - targets.mean()
    if targets.min() == targets.max():
        return float(not error.any())
    return 1 - float(np.dot(error, error) / np.dot(spread, spread))


def pinball(targets: Array, predictions: Array, levels: Sequence[float] = ()) -> float:
    """Mean over quantile levels of the error, weighted level against 1 - level; least at the true quantiles.

    Reference:
        Koenker, Bassett: Regression quantiles, Econometrica 46 (1978), equation 3.1.
    """
    assert len(levels) == predictions.shape[1], "internal error: get_metric gives pinball the task's levels"
    error = targets[:, None] - predictions
    return float(np.maximum(np.asarray(levels) * error, (np.asarray(levels) - 1) * error).mean())


def nearest_to_median(levels: Sequence[float]) -> int:
    """Position of the quantile level nearest to one half."""
    return int(np.abs(np.asarray(levels) - 0.5).argmin())


def _middle(targets: Array, predictions: Array, levels: Sequence[float]) -> Array:
    """The predictions, or of several quantiles of one target those nearest to the median."""
    if predictions.ndim == targets.ndim:
        return predictions
    assert len(levels) == predictions.shape[1], "internal error: get_metric gives the metric the task's levels"
    return np.asarray(predictions[:, nearest_to_median(levels)])


def _counts(targets: Array, predictions: Array) -> tuple[Array, Array, Array]:
    """Rows of each class, or of each 0/1 target's ones; rows taken for it; rows rightly so."""
    if targets.ndim == 2:
        actual, chosen = targets > 0.5, predictions > 0.5
        return actual.sum(axis=0), chosen.sum(axis=0), (actual & chosen).sum(axis=0)
    classes, chosen = predictions.shape[1], predictions.argmax(axis=1)
    return (
        np.bincount(targets, minlength=classes),
        np.bincount(chosen, minlength=classes),
        np.bincount(targets[chosen == targets], minlength=classes),
    )


def _f1_scores(actual: Array, predicted: Array, hits: Array) -> Array:
    return np.asarray(2 * hits / np.maximum(actual + predicted, 1))


def _mean_where(where: Array, values: Array) -> Array:
    return np.asarray((values * where).sum(axis=-1) / where.sum(axis=-1))


def _correlation(actual: Array, predicted: Array, hits: Array) -> Array:
    actual, predicted, rows = actual.astype(np.float64), predicted.astype(np.float64), actual.sum(axis=-1)
    spread = (rows**2.0 - (predicted**2).sum(axis=-1)) * (rows**2.0 - (actual**2).sum(axis=-1))
    found = hits.sum(axis=-1) * rows - (actual * predicted).sum(axis=-1)
    return np.asarray(np.where(spread > 0, found / np.sqrt(np.where(spread > 0, spread, 1)), 0.0))


# What depends on decisions alone: from the rows of each class, rows taken for it and rows rightly so, whose last axis
# is the classes; so that many ways to decide are judged at once.
COUNTED: dict[str, Callable[[Array, Array, Array], Array]] = {
    "accuracy": lambda actual, predicted, hits: hits.sum(axis=-1) / actual.sum(axis=-1),
    "balanced_accuracy": lambda actual, predicted, hits: _mean_where(actual > 0, hits / np.maximum(actual, 1)),
    "f1": lambda *counts: _f1_scores(*counts)[..., 1],
    "f1_macro": lambda *counts: _mean_where(counts[0] + counts[1] > 0, _f1_scores(*counts)),
    "f1_weighted": lambda *counts: (
        (counts[0] * _f1_scores(*counts)).sum(axis=-1) / np.maximum(counts[0].sum(axis=-1), 1)
    ),
    "mcc": _correlation,
}


def _one_against_rest(targets: Array, predictions: Array) -> Iterable[tuple[Array, Array]]:
    """Which rows belong to it, and their scores: of the second of two classes, of every class, or 0/1 target."""
    if targets.ndim == 2:
        return zip(targets.T > 0.5, predictions.T, strict=True)
    classes = [1] if predictions.shape[1] == 2 else range(predictions.shape[1])
    return ((targets == each, predictions[:, each]) for each in classes)


def _ranked_above(positive: Array, scores: Array) -> float:
    """Mann and Whitney's statistic from average ranks, as a share of all pairs; NaN without pairs."""
    rows, positives = len(scores), int(np.count_nonzero(positive))
    pairs = positives * (rows - positives)
    if not pairs:
        return math.nan
    order = scores.argsort()
    starts = _group_starts(scores[order])
    ranks = (starts + np.append(starts[1:], rows) + 1) / 2
    total = np.dot(ranks, np.add.reduceat(positive[order].astype(np.int64), starts))
    return float((total - positives * (positives + 1) / 2) / pairs)


def _precision(positive: Array, scores: Array) -> float:
    """Average precision of one class; NaN without rows of it."""
    if not positive.any():
        return math.nan
    order = (-scores).argsort()
    starts = _group_starts(scores[order])
    found = np.add.reduceat(positive[order].astype(np.int64), starts)
    return float(np.dot(found, found.cumsum() / np.append(starts[1:], len(scores))) / found.sum())


def _group_starts(ranked: Array) -> Array:
    """Where groups of equal scores begin."""
    return np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))


def _mean(values: Iterable[float]) -> float:
    """Mean of those that are numbers; NaN where there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
