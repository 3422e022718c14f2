"""How good the mean of some models would be with each one added: at once for all, where a metric allows it.

Most metrics are sums over rows of something that is linear in the predictions: the log loss needs the probability of
what is true, the absolute error the error. A whole step of greedy selection is then one sum over a ``(models, values)``
array, and for squared errors a look into the ``(models, models)`` matrix of their products.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl._metric_functions import nearest_to_median

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodl.metrics import Metric

    Array: TypeAlias = NDArray[Any]

QUICK = frozenset({"log_loss", "brier", "pinball", "mae", "mape", "rmse", "r2"})
SMALLEST = float(np.finfo(np.float64).eps)


class Blends(ABC):
    """A mean of models that grows one model at a time, with repetition."""

    @abstractmethod
    def on(self, parts: Array) -> Blends:
        """The same models judged on some of the parts of the rows, nothing picked yet."""

    @abstractmethod
    def losses(self) -> Array:
        """Loss of the mean with each model added, lower is better; a second row, if any, breaks ties.

        Shape: → 1 or 2, models
        """

    @abstractmethod
    def add(self, model: int) -> None:
        """Put a model into the mean, perhaps not for the first time."""


class Linear(Blends):
    """For a mean over rows of a function of something that is linear in the predictions.

    Args:
        parts: What is linear, for each part of the rows. Shape: models rows values.
        curve: What becomes of the mean's. Shape: models rows values → the same.
    """

    def __init__(self, parts: Sequence[Array], curve: Callable[[Array], Array]) -> None:
        self.parts, self.curve = parts, curve
        self.all = np.concatenate(parts, axis=1)
        self.total, self.picks = np.zeros_like(self.all[0]), 0

    def on(self, parts: Array) -> Linear:
        """The same models judged on some of the parts of the rows."""
        return Linear([self.parts[part] for part in parts], self.curve)

    def losses(self) -> Array:
        """Loss of the mean with each model added."""
        values = self.curve((self.all + self.total) / (self.picks + 1))
        return np.asarray(values.reshape(1, len(values), -1).mean(axis=2, dtype=np.float64))

    def add(self, model: int) -> None:
        """Put a model into the mean."""
        self.total += self.all[model]
        self.picks += 1


class Quadratic(Blends):
    """For squared errors: a mean over groups of a function of each group's mean squared error.

    Args:
        products: Sums of products of each two models' errors, for each part of the rows. Shape: parts groups models
            models.
        rows: How many each part has.
        curve: What becomes of the mean squared errors. Shape: groups models → the same.
    """

    def __init__(self, products: Array, rows: Array, curve: Callable[[Array], Array]) -> None:
        self.products, self.rows, self.curve = products, rows, curve
        self.mean = products.sum(axis=0) / rows.sum()  # groups models models
        self.own = np.diagonal(self.mean, axis1=1, axis2=2)
        self.counts = np.zeros(products.shape[-1])

    @classmethod
    def of(cls, errors: Sequence[Array], curve: Callable[[Array], Array]) -> Quadratic:
        """Of each part's errors, prediction less target. Shape: models groups rows values."""
        flat = [each.transpose(1, 0, 2, 3).reshape(each.shape[1], len(each), -1) for each in errors]
        products = np.stack([each @ each.transpose(0, 2, 1) for each in flat])
        return cls(products, np.array([each.shape[2] for each in errors]), curve)

    def on(self, parts: Array) -> Quadratic:
        """The same models judged on some of the parts of the rows."""
        return Quadratic(self.products[parts], self.rows[parts], self.curve)

    def losses(self) -> Array:
        """Loss of the mean with each model added."""
        crossed = self.mean @ self.counts
        squares = (crossed @ self.counts)[:, None] + 2 * crossed + self.own
        squares = np.maximum(squares, 0) / (self.counts.sum() + 1) ** 2
        return np.asarray(self.curve(squares).mean(axis=0, keepdims=True))

    def add(self, model: int) -> None:
        """Put a model into the mean."""
        self.counts[model] += 1


class Direct(Blends):
    """For any metric: each mean is computed and judged; the squared error breaks ties.

    Args:
        predictions: What each model predicts, for each part of the rows. Shape: models rows, or models rows values.
        targets: As ``autodl.tasks.Task`` describes them, for each part of the rows.
        metric: What to judge by.
    """

    def __init__(self, predictions: Sequence[Array], targets: Sequence[Array], metric: Metric) -> None:
        self.predictions, self.targets, self.metric = predictions, targets, metric
        self.all, self.truth = np.concatenate(predictions, axis=1), np.concatenate(targets)
        self.total, self.picks = np.zeros_like(self.all[0]), 0
        self.squares = Quadratic.of([_errors(self.all, self.truth)], lambda squares: squares)

    def on(self, parts: Array) -> Direct:
        """The same models judged on some of the parts of the rows."""
        return Direct([self.predictions[part] for part in parts], [self.targets[part] for part in parts], self.metric)

    def losses(self) -> Array:
        """Loss of the mean with each model added, and below it the squared error."""
        means = (self.all + self.total) / (self.picks + 1)
        found = np.array([self.metric.loss(float(self.metric.function(self.truth, mean))) for mean in means])
        return np.concatenate([np.where(np.isnan(found), np.inf, found)[None], self.squares.losses()])

    def add(self, model: int) -> None:
        """Put a model into the mean."""
        self.total += self.all[model]
        self.picks += 1
        self.squares.add(model)


def blends(predictions: Sequence[Array], targets: Sequence[Array], metric: Metric) -> Blends:
    """The quickest way to judge means of these models by that metric.

    Args:
        predictions: For each part of the rows. Shape: models rows, or models rows values.
        targets: For each part of the rows.
        metric: What to judge by.
    """
    name, everything = metric.name, np.concatenate(targets)
    if is_slow(metric, everything):
        return Direct(predictions, targets, metric)
    if metric.levels and name in ("rmse", "mae"):
        predictions = [each[..., nearest_to_median(metric.levels)] for each in predictions]
    pairs = list(zip(predictions, targets, strict=True))
    if name == "log_loss":
        return Linear([_of_truth(*pair).astype(np.float32) for pair in pairs], _minus_log)
    if name == "pinball":
        low, high = np.asarray(metric.levels), np.asarray(metric.levels) - 1
        errors = [truth[:, None] - told for told, truth in pairs]
        return Linear(errors, lambda error: np.maximum(low * error, high * error))
    if name == "brier":
        return Quadratic.of([_errors(*pair) for pair in pairs], lambda squares: squares)
    if name in ("mae", "mape"):
        weights = [np.maximum(np.abs(truth), SMALLEST) if name == "mape" else 1.0 for truth in targets]
        shares = [(told - truth) / weight for (told, truth), weight in zip(pairs, weights, strict=True)]
        return Linear([_errors(share, np.zeros_like(share[0]))[:, 0] for share in shares], np.abs)
    if name == "rmse":
        return Quadratic.of([_apart(*pair) for pair in pairs], np.sqrt)
    spread = np.atleast_1d(everything.var(axis=0))[:, None]
    return Quadratic.of([_apart(*pair) for pair in pairs], lambda squares: squares / spread)


def is_slow(metric: Metric, targets: Array) -> bool:
    """Whether each mean must be computed and judged by itself."""
    return metric.name not in QUICK or (metric.name == "r2" and not targets.var(axis=0).all())


def row_errors(predictions: Array, targets: Array) -> Array:
    """Each model's squared errors; of probabilities, summed over classes; of several targets, over their variances.

    Shape: models rows, or models rows values → models rows
    """
    errors = _errors(predictions, targets)
    if targets.ndim == 2:  # units differ
        spread = targets.std(axis=0)
        errors = errors / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.einsum("mgrv,mgrv->mr", errors, errors))


def _minus_log(mean: Array) -> Array:
    return np.asarray(-np.log(np.maximum(mean, SMALLEST)))


def _apart(predictions: Array, targets: Array) -> Array:
    """The errors, one group a target. Shape: models rows, or models rows targets → models targets rows 1."""
    return np.asarray(_errors(predictions, targets)[:, 0].transpose(0, 2, 1)[..., None])


def _of_truth(predictions: Array, targets: Array) -> Array:
    """The probability of what is true. Shape: models rows values → models rows 1, or of labels models rows targets."""
    if targets.ndim == 2:
        return np.where(targets > 0.5, predictions, 1 - predictions)
    return np.asarray(predictions[:, np.arange(len(targets)), targets][..., None])


def _errors(predictions: Array, targets: Array) -> Array:
    """Prediction less target; probabilities of classes less 1 for the true one. Shape: → models 1 rows values."""
    if predictions.ndim == targets.ndim + 1:
        errors = predictions - targets
    elif np.issubdtype(targets.dtype, np.integer):
        errors = predictions - np.eye(predictions.shape[2])[targets]
    else:
        errors = predictions - targets[:, None]  # quantiles of one number
    return np.asarray(errors.reshape(len(errors), 1, errors.shape[1], -1))
