"""Makes probabilities honest, and says where the line between two classes lies, from out-of-fold predictions.

Networks are often too sure of themselves. Their probabilities are scaled so that of rows called 80 % likely four in
five are so; as little as the rows support: not at all, one temperature, or a scale and a bias for each class.

Reference:
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, arXiv 1706.04599, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl._metric_functions import COUNTED
from autodl._scaling import fit_temperature, fit_vector, scaled
from autodl.metrics import METRICS, Metric
from autodl.records import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Fit: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]

LEAST = 1e-12  # a probability of 0 has no logarithm
FOLDS = 5
FEWEST_ROWS = 50
CUTS, HALVES = 200, 200
MIDDLE = 0.5


@dataclass(frozen=True)
class Calibration:
    """What is done to probabilities; as it is made by default, nothing.

    Attributes:
        labels: Whether several 0/1 targets are predicted, and not classes.
        scales: What log p is multiplied by: one number for all, or one a class; a row for all, or one a 0/1 target,
            whose classes are 0 and 1. Empty: probabilities stay as they are.
        biases: What is added then; of the same shape.
        thresholds: Probability above which the second class, or a 1, is said; one a 0/1 target. Empty: one half.
        prior: What is said of a row of which nothing is known: one value an output. Empty where that is not known.
    """

    labels: bool = False
    scales: tuple[tuple[float, ...], ...] = ()
    biases: tuple[tuple[float, ...], ...] = ()
    thresholds: tuple[float, ...] = ()
    prior: tuple[float, ...] = ()

    def apply(self, predictions: Array) -> Array:
        """Return honest probabilities; numbers come back as they are. A row of NaN, of which nothing is known, gets the
        prior. Shape: rows [values] → the same.
        """
        unknown = np.isnan(predictions).reshape(len(predictions), -1).any(axis=1)
        told = self._scaled(predictions)
        if not self.prior or not unknown.any():
            return told
        prior = np.array(self.prior) if told.ndim > 1 else np.float64(self.prior[0])
        return np.where(unknown.reshape(-1, *[1] * (told.ndim - 1)), prior, told)

    def _scaled(self, predictions: Array) -> Array:
        if not self.scales:
            return predictions
        logs = _logs(predictions, self.labels)
        told = scaled(logs, np.array(self.scales)[:, None], np.array(self.biases)[:, None])
        return np.asarray(told[:, :, 1].T if self.labels else told[0])

    def decide(self, probabilities: Array) -> Array:
        """Return the class index, or 0 and 1 for each 0/1 target; a probability at the threshold is not above it.

        Shape: rows classes → rows; or of 0/1 targets rows targets → the same
        """
        if self.labels:
            return (probabilities > (np.array(self.thresholds) if self.thresholds else MIDDLE)).astype(np.int64)
        if self.thresholds:
            return (probabilities[:, 1] > self.thresholds[0]).astype(np.int64)
        return np.asarray(probabilities.argmax(axis=1))

    def judged(self, probabilities: Array, metric: Metric) -> Array:
        """Return what a metric shall see: decisions where it looks at nothing else and the threshold is not one half.

        Shape: rows values → the same
        """
        if metric.name not in COUNTED or not self.thresholds:
            return probabilities
        decided = self.decide(probabilities)
        return decided.astype(np.float64) if self.labels else np.eye(probabilities.shape[1])[decided]

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``Calibration.from_json`` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild from ``to_json``'s data."""
        scales, biases = (tuple(tuple(map(float, each)) for each in data[name]) for name in ("scales", "biases"))
        thresholds, prior = (tuple(map(float, data.get(name, ()))) for name in ("thresholds", "prior"))
        return cls(bool(data["labels"]), scales, biases, thresholds, prior)


def prior(targets: Array, task: Task) -> tuple[float, ...]:
    """What to say where nothing is known: shares of classes and of 1, means, or quantiles of numbers.

    Args:
        targets: Of the rows that were fitted on, as ``Task`` says.
        task: What is predicted.
    """
    if task.is_classification:
        counts = np.bincount(np.asarray(targets, np.int64), minlength=task.n_outputs)
        return tuple((counts / counts.sum()).tolist())
    if task.kind == "quantile":
        return tuple(np.quantile(targets, task.quantiles).tolist())
    return tuple(np.atleast_1d(np.mean(targets, axis=0, dtype=np.float64)).tolist())


def fit_calibration(probabilities: Array, targets: Array, task: Task, *, seed: int = 0) -> Calibration:
    """Fit temperature, or vector scaling, where it helps by more than noise, and the threshold for the task's metric.

    Cross-validated over the rows: what is more flexible is taken where its log loss, row by row on rows that it was not
    fitted on, is less by more than one standard error. The threshold is fitted to ``task.metric`` where that looks at
    decisions alone, for two classes and 0/1 targets. Where numbers are predicted nothing is done.

    Args:
        probabilities: As ``Task`` describes them, of rows that the models were not fitted on.
        targets: Likewise.
        task: What is predicted, and by which metric it is judged.
        seed: Of the parts of the rows.
    """
    if task.is_numeric:
        return Calibration()
    labels = task.kind == "multilabel"
    plain = Calibration(labels)
    known = np.isfinite(probabilities).all(axis=1)
    probabilities, targets = probabilities[known], targets[known]
    if len(targets) < FEWEST_ROWS:
        return plain
    logs = _logs(probabilities, labels)  # groups rows classes
    true = (targets.T > MIDDLE).astype(np.int64) if labels else targets[None]
    fit = _worth(logs, true, seed)
    scales, biases = fit(logs, true) if fit else (np.empty((0, 0)), np.empty((0, 0)))
    found = Calibration(labels, tuple(map(tuple, scales.tolist())), tuple(map(tuple, biases.tolist())))
    return Calibration(labels, found.scales, found.biases, _thresholds(found.apply(probabilities), targets, task, seed))


def best_threshold(probabilities: Array, targets: Array, metric: Metric, *, seed: int = 0) -> float:
    """Return the probability above which to say 1, so that the metric is best; one half if it does not pay.

    The rows are halved again and again: a threshold is chosen on one half and tried on the other. The median of those
    chosen is returned where the gain over one half is more than the gain's spread, which is its standard error on all
    rows; so few rows leave it at one half. For metrics that do not look at decisions alone it always is.

    Args:
        probabilities: That the target is 1. Shape: rows
        targets: 0 or 1. Shape: rows
        metric: What is to be best.
        seed: Of the halves.
    """
    ones = np.asarray(targets) > MIDDLE
    if metric.name not in COUNTED or not 0 < ones.sum() < len(ones):
        return MIDDLE
    values = np.unique(np.quantile(probabilities, np.linspace(0, 1, CUTS)))
    cuts = np.append((values[1:] + values[:-1]) / 2, MIDDLE)
    cuts = cuts[np.argsort(np.abs(cuts - MIDDLE), kind="stable")]  # of those that are as good, the nearest to one half
    generator = np.random.default_rng(seed)
    above = np.searchsorted(np.sort(cuts), probabilities)  # how many cuts a row is above
    cells = np.bincount(ones * (len(cuts) + 1) + above, minlength=2 * (len(cuts) + 1))
    halves = generator.multivariate_hypergeometric(cells, len(ones) // 2, size=HALVES, method="marginals")
    order = np.argsort(np.argsort(cuts, kind="stable"), kind="stable")
    here = _scores(halves, metric)[:, order]
    there = _scores(cells - halves, metric)[:, order]
    chosen = np.nan_to_num(here, nan=-np.inf).argmax(axis=1)
    gain = there[np.arange(HALVES), chosen] - there[:, 0]  # the nearest to one half is one half
    return float(np.median(cuts[chosen])) if gain.mean() > gain.std() else MIDDLE


def _scores(cells: Array, metric: Metric) -> Array:
    """The metric at each cut, from how many rows of each target lie between two cuts.

    Shape: draws 2·(cuts + 1) → draws cuts
    """
    counts = cells.reshape(len(cells), 2, -1)
    said = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]  # draws targets cuts: rows above the cut
    actual = np.broadcast_to(counts.sum(axis=2)[:, None], (len(cells), said.shape[2], 2))
    predicted = np.stack([actual.sum(axis=2) - said.sum(axis=1), said.sum(axis=1)], axis=2)
    hits = np.stack([actual[:, :, 0] - said[:, 0], said[:, 1]], axis=2)
    return np.asarray(COUNTED[metric.name](actual, predicted, hits))


def _thresholds(probabilities: Array, targets: Array, task: Task, seed: int) -> tuple[float, ...]:
    """One a 0/1 target, or one for two classes; empty where one half is as good."""
    if task.metric not in COUNTED or task.kind == "multiclass":
        return ()
    if task.kind == "binary":
        found = [best_threshold(probabilities[:, 1], targets, METRICS[task.metric], seed=seed)]
    else:  # of several targets a metric is the mean of their own
        metric = METRICS["accuracy" if task.metric == "accuracy" else "f1"]
        pairs = zip(probabilities.T, targets.T, strict=True)
        found = [best_threshold(told, truth, metric, seed=seed) for told, truth in pairs]
    return tuple(found) if any(each != MIDDLE for each in found) else ()


def _worth(logs: Array, true: Array, seed: int) -> Fit | None:
    """The most flexible fit that pays on rows that it has not seen, if one does."""
    rows = true.shape[1]
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), FOLDS)
    best, loss = None, _row_losses(logs, true, np.ones((1, 1)), np.zeros((1, 1)))
    for fit in (_temperature, _vector):
        tried = np.empty(rows)
        for part in parts:
            rest = np.setdiff1d(np.arange(rows), part, assume_unique=True)
            tried[part] = _row_losses(logs[:, part], true[:, part], *fit(logs[:, rest], true[:, rest]))
        gain = loss - tried
        if gain.mean() > gain.std() / np.sqrt(rows):
            best, loss = fit, tried
    return best


def _temperature(logs: Array, true: Array) -> tuple[Array, Array]:
    """One temperature for all. Shape: groups rows classes, groups rows → twice 1 1."""
    scale, bias = fit_temperature(logs.reshape(-1, logs.shape[2]), true.ravel())
    return scale[None], bias[None]


def _vector(logs: Array, true: Array) -> tuple[Array, Array]:
    """Scales and biases. Shape: groups rows classes, groups rows → twice groups classes."""
    each = [fit_vector(*pair) for pair in zip(logs, true, strict=True)]
    return np.stack([scale for scale, _ in each]), np.stack([bias for _, bias in each])


def _row_losses(logs: Array, true: Array, scales: Array, biases: Array) -> Array:
    """Log loss of each row, the mean over groups. Shape: → rows."""
    told = scaled(logs, scales[:, None], biases[:, None])
    right = np.take_along_axis(told, true[:, :, None], axis=2)[:, :, 0]
    return np.asarray(-np.log(np.maximum(right, LEAST)).mean(axis=0))


def _logs(probabilities: Array, labels: bool) -> Array:
    """Logarithms; of 0/1 targets those of 0 and 1, a group each. Shape: rows values → groups rows classes."""
    each = np.stack([1 - probabilities.T, probabilities.T], axis=2) if labels else probabilities[None]
    return np.asarray(np.log(np.maximum(each, LEAST)))
