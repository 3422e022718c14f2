"""How far off a score or a prediction may be: bootstrap intervals, conformal intervals of numbers, sets of classes.

What holds: with errors of rows that the predictor never saw, and rows to come that are like them, an interval or set
asked for 90 % holds the truth of 90 % of all rows, on average over rows and over draws of the data, whatever the model
(split conformal). Errors here come from out-of-fold predictions, each by networks that did not see the row, while the
predictor is the mean of all folds' networks. For that only a weaker bound is proven, 1 - 2 α instead of 1 - α (Barber
et al.); in practice the mean of all folds is a little better than each, so that coverage comes out at the level asked
for or slightly above. Nothing is promised for a single row, a class, or a group.

Reference:
    Vovk, Gammerman, Shafer: Algorithmic learning in a random world, Springer 2005.
    Barber, Candès, Ramdas, Tibshirani: Predictive inference with the jackknife+, Annals of Statistics 49 (2021),
    arXiv 1905.02928, theorem 4 (CV+).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl.records import Task, TaskKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

CELLS_DRAWN = 4_000_000  # rows times draws of a bootstrap at most, so that it takes about a second
FEWEST_DRAWS = 100
KEPT = 5_000  # errors that are stored; of more, evenly spaced ranks
ROWS_PER_KNOT, MOST_KNOTS = 200, 10


def bootstrap_interval(
    metric: Callable[[Array, Array], float],
    targets: Array,
    predictions: Array,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return where the metric's value lies with that confidence, were other rows drawn from the same source.

    It speaks of the chance in these rows, not of the chance in training. Draws in which the metric has no value are
    left out; NaN and NaN where none has one.

    Args:
        metric: The function of a metric.
        targets: As ``autodl.tasks.Task`` describes them.
        predictions: Likewise.
        level: Share of intervals that hold the value that all rows of the source would give.
        draws: How often the rows are drawn again; fewer, down to ``FEWEST_DRAWS``, where they are many.
        seed: Of the draws.

    Reference:
        Efron, Tibshirani: An introduction to the bootstrap, 1993, chapter 13 (the percentile interval).
    """
    rows = len(targets)
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(min(draws, max(FEWEST_DRAWS, CELLS_DRAWN // max(rows, 1))) if rows else 0):
        drawn = generator.integers(rows, size=rows)
        values.append(float(metric(targets[drawn], predictions[drawn])))
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.nan, math.nan
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Conformal:
    """How far predictions were off, and so how far they may be off; made by ``fit_conformal``.

    Numbers: the error is its absolute value over what is usual for predictions of that size, so that intervals are
    wide where errors are. Quantiles: how far the target lies outside the lowest and highest one, less than 0 inside.
    Classes: one less the probability of the true class; a set holds the classes that are likely enough, and now and
    then none, where no class is: forcing one in would make sets hold the truth too often.

    Attributes:
        kind: What is predicted.
        rows: How many errors were seen.
        ranks: Which of them are stored, from 1, rising. Shape: stored
        errors: They, rising. Shape: stored targets
        knots: Predictions at which the usual error is known, rising; none where it is taken as 1. Shape: targets knots
        spreads: The usual error there. Shape: targets knots

    Reference:
        Lei, G'Sell, Rinaldo, Tibshirani, Wasserman: Distribution-free predictive inference for regression, Journal of
        the American Statistical Association 113 (2018), arXiv 1604.04173, section 5.2 (locally weighted errors).
        Romano, Patterson, Candès: Conformalized quantile regression, arXiv 1905.03222, equations 6 and 7.
        Sadinle, Lei, Wasserman: Least ambiguous set-valued classifiers, arXiv 1609.00451, section 2.
    """

    kind: TaskKind
    rows: int
    ranks: Array
    errors: Array
    knots: Array
    spreads: Array

    def intervals(self, predictions: Array, coverage: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of intervals that hold the truth of that share of rows, of each target by itself.

        Shape: rows, or rows targets, or rows quantiles → twice rows, or rows targets
        """
        most = self._error_at(coverage)
        if self.kind == "quantile":
            low, high = predictions[:, 0] - most, predictions[:, -1] + most
            middle = (low + high) / 2  # an error less than 0 may be more than half of the width
            return np.minimum(low, middle), np.maximum(high, middle)
        width = most * _usual(predictions.reshape(len(predictions), -1), self.knots, self.spreads)
        width = width.reshape(predictions.shape)
        return predictions - width, predictions + width

    def sets(self, predictions: Array, coverage: float = 0.9) -> Array:
        """Return which classes are likely enough that the set of them holds the truth of that share of rows.

        Shape: rows classes → rows classes, bool
        """
        return np.asarray(1 - predictions <= self._error_at(coverage))

    def covered(self, predictions: Array, targets: Array, coverage: float = 0.9) -> float:
        """Return the share of targets that lie in their interval or set."""
        if self.kind in ("binary", "multiclass"):
            return float(self.sets(predictions, coverage)[np.arange(len(targets)), targets].mean())
        low, high = self.intervals(predictions, coverage)
        return float(((low <= targets) & (targets <= high)).mean())

    def to_json(self) -> dict[str, Any]:
        """Values and arrays that ``Conformal.from_json`` takes back."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conformal:
        """Rebuild from ``to_json``'s data."""
        arrays = {name: np.asarray(data[name]) for name in ("ranks", "errors", "knots", "spreads")}
        return cls(kind=data["kind"], rows=int(data["rows"]), **arrays)

    def _error_at(self, coverage: float) -> Array:
        """The error of rank ⌈(rows + 1) · coverage⌉, or a little more; infinite where rows are too few for it."""
        rank = math.ceil((self.rows + 1) * coverage - 1e-9)
        if rank > self.rows:
            return np.full(self.errors.shape[1], np.inf)
        return np.asarray(self.errors[np.searchsorted(self.ranks, rank)])


def fit_conformal(predictions: Array, targets: Array, task: Task) -> Conformal | None:
    """Measure how far predictions were off; None for several 0/1 targets, or without rows.

    Args:
        predictions: As ``Task`` describes them, of rows that the models were not fitted on.
        targets: Likewise.
        task: What is predicted.
    """
    known = np.isfinite(predictions.reshape(len(predictions), -1)).all(axis=1)
    predictions, targets = predictions[known], targets[known]
    if task.kind == "multilabel" or not len(targets):
        return None
    knots = spreads = np.empty((len(task.targets), 0))
    if task.is_classification:
        errors = 1 - predictions[np.arange(len(targets)), targets][:, None]
    elif task.kind == "quantile":
        errors = np.maximum(predictions[:, 0] - targets, targets - predictions[:, -1])[:, None]
    else:
        flat = predictions.reshape(len(predictions), -1)
        errors = np.abs(flat - targets.reshape(flat.shape))
        knots, spreads = _usual_errors(flat, errors)
        errors = errors / _usual(flat, knots, spreads)
    ranks = np.unique(np.linspace(1, len(errors), min(len(errors), KEPT)).round().astype(np.int64))
    return Conformal(task.kind, len(errors), ranks, np.sort(errors, axis=0)[ranks - 1], knots, spreads)


def _usual_errors(predictions: Array, errors: Array) -> tuple[Array, Array]:
    """Mean absolute error by size of the prediction: in groups of equal size, one knot each.

    Shape: rows targets → twice targets knots; no knots where rows are few
    """
    groups = min(MOST_KNOTS, len(predictions) // ROWS_PER_KNOT)
    if groups < 2:
        return np.empty((predictions.shape[1], 0)), np.empty((predictions.shape[1], 0))
    parts = [np.array_split(order, groups) for order in predictions.argsort(axis=0, kind="stable").T]
    knots = [[predictions[part, target].mean() for part in each] for target, each in enumerate(parts)]
    spreads = np.array([[errors[part, target].mean() for part in each] for target, each in enumerate(parts)])
    floor = np.maximum(0.05 * spreads.mean(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.array(knots), np.maximum(spreads, floor)


def _usual(predictions: Array, knots: Array, spreads: Array) -> Array:
    """The usual error of predictions of that size, between knots by a straight line. Shape: rows targets → the same."""
    if not knots.shape[1]:
        return np.ones_like(predictions)
    each = [np.interp(*arguments) for arguments in zip(predictions.T, knots, spreads, strict=True)]
    return np.stack(each, axis=1)


def measured_coverage(
    conformal: Conformal | None, task: Task, found: Array, targets: Array, coverage: float
) -> dict[str, float] | None:
    """Return what share of true targets lies inside intervals of some predictions, and how wide these are.

    ``size`` is the mean width, or the mean number of classes in a set; None where there are no intervals.

    Args:
        conformal: How far predictions were off on rows that nothing was fitted on; None where that is not known.
        task: What is predicted.
        found: Calibrated predictions, as ``Task`` says.
        targets: As ``Task`` says.
        coverage: Share of rows whose truth shall lie inside.
    """
    if conformal is None or task.kind == "multilabel":
        return None
    if task.is_classification:
        size = conformal.sets(found, coverage).sum(1).mean()
    else:
        low, high = conformal.intervals(found, coverage)
        size = (high - low).mean()
    return {"asked": coverage, "measured": conformal.covered(found, targets, coverage), "size": float(size)}
