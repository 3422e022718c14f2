"""Which models predict together, and with what shares: greedy selection with replacement on validation rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from autodl.errors import RunError

if TYPE_CHECKING:
    from autodl.metrics import Metric

ROWS_PER_PICK = 10  # fewer validation rows than this a pick tell noise from gain no more
ROWS_FOR_CHOICE = 20_000  # of more rows every second, third … is enough to rank candidates by
MIN_GAIN = 1e-4  # relative: less is noise
STEADY_MODELS = 10
STEADY_ROWS = 400  # validation rows at which a choice and an even mean count alike
MOST_T = 2.0  # standard errors that a model may be worse than the best and still pass for equal
LEAST_SHARE = 0.01


def greedy_weights(
    predictions: np.ndarray,
    targets: np.ndarray,
    metric: Metric,
    *,
    size: int = 25,
    candidates: int = 25,
    patience: int = 5,
) -> np.ndarray:
    """Return each model's share in the mean that predicts best; never worse on these rows than the best single one.

    Starting with the best single model, the one is added, again and again and perhaps not for the first time, with
    which the mean scores best; the best mean on the way is kept. Where the metric cannot tell means apart, as accuracy
    often cannot, the squared error decides (of probabilities, that is the Brier score), then the order of the models.
    Three things keep it from fitting the noise of few rows: only the best models are candidates, there is at most one
    pick for every ten rows, and a mean counts as better only from a small gain on.

    Args:
        predictions: Probabilities, or numbers in the target's own unit.
        targets: Class index, or number.
        metric: What to optimise.
        size: Picks at most.
        candidates: How many of the best single models are considered.
        patience: Picks without a better mean after which to stop.

    Shape:
        predictions: models rows classes, or models rows
        targets: rows
        returned: models; the sum is 1

    Raises:
        RunError: No model's predictions are all finite.

    Reference:
        Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble selection from libraries of models, ICML 2004, section 2
        (with replacement and sorted initialisation).
    """
    singles = ((number, model) for number, model in enumerate(predictions) if np.isfinite(model).all())
    pool = sorted((_loss(model, targets, metric), number) for number, model in singles)[:candidates]
    if not pool:
        raise RunError(
            f"a model must predict finite numbers for the validation rows, however none of {len(predictions)} does; "
            "search longer, or look at the leaderboard's errors"
        )
    best, first = pool[0]
    picks, kept, total = [first], 1, predictions[first].astype(np.float64)
    limit = min(size, max(1, len(targets) // ROWS_PER_PICK))
    some = slice(None, None, math.ceil(len(targets) / ROWS_FOR_CHOICE))
    while len(picks) < limit and len(picks) - kept < patience:
        means = ((total[some] + predictions[number][some]) / (len(picks) + 1) for _, number in pool)
        losses = [_loss(mean, targets[some], metric) for mean in means]
        number = pool[losses.index(min(losses))][1]
        picks.append(number)
        total += predictions[number]
        found = _loss(total / len(picks), targets, metric)
        if _is_gain(found, best):
            best, kept = found, len(picks)
    return np.bincount(picks[:kept], minlength=len(predictions)) / kept


def steadied(
    weights: np.ndarray, predictions: np.ndarray, targets: np.ndarray, models: int = STEADY_MODELS
) -> np.ndarray:
    """Move shares that were chosen on few rows towards an even mean of all models that may be as good as the best.

    A choice among many models on 90 rows is half noise: one that fits them by luck gets everything. Which models are
    worse than the best by more than luck is told by a paired test on the rows' squared errors (for probabilities, the
    Brier score): those with t <= 2 may be as good. Their even mean gets the share ``STEADY_ROWS / (STEADY_ROWS +
    rows)``, which is left out where it comes to less than a hundredth a model.

    Args:
        weights: Shares of the models.
        predictions: Probabilities, or numbers in the target's own unit; models stand best first.
        targets: Class index, or number; the rows that the shares were chosen on.
        models: How many may stand in the even mean.

    Shape:
        weights: models; the sum is 1
        predictions: models rows classes, or models rows
        targets: rows
        returned: models; the sum is 1
    """
    rows = len(targets)
    truth = np.eye(predictions.shape[2])[targets] if predictions.ndim == 3 else targets
    errors = ((predictions - truth) ** 2).reshape(len(predictions), rows, -1).sum(-1)
    best = int(np.nan_to_num(errors.mean(1), nan=np.inf).argmin())
    worse = errors - errors[best]
    spread = worse.std(1) / math.sqrt(rows)
    equal = np.flatnonzero(worse.mean(1) <= MOST_T * spread)[:models]
    share = STEADY_ROWS / (STEADY_ROWS + rows)
    if share / len(equal) < LEAST_SHARE:
        return weights
    even = np.zeros(len(weights))
    even[equal] = 1 / len(equal)
    return (1 - share) * weights + share * even


def _loss(predictions: np.ndarray, targets: np.ndarray, metric: Metric) -> tuple[float, float]:
    """How bad predictions are: what is to be made small of the metric, then the squared error."""
    score = float(metric.function(targets, predictions))
    loss = -score if metric.greater_is_better else score
    return (loss if math.isfinite(loss) else math.inf, _squared_error(predictions, targets))


def _squared_error(predictions: np.ndarray, targets: np.ndarray) -> float:
    if predictions.ndim == 1:
        return float(np.mean((predictions - targets) ** 2))
    likely = predictions[np.arange(len(targets)), targets]
    return float(1 + (np.einsum("rc,rc->", predictions, predictions) - 2 * likely.sum()) / len(targets))


def _is_gain(found: tuple[float, float], best: tuple[float, float]) -> bool:
    """Whether the metric gains, or at least does not lose while the squared error gains."""
    if math.isinf(best[0]) or best[0] - found[0] <= MIN_GAIN * abs(best[0]):
        return found[0] <= best[0] and best[1] - found[1] > MIN_GAIN * best[1]
    return True
