"""Which models predict together, and with what shares: bagged greedy selection on out-of-fold predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl._blends import Blends, blends, is_slow, row_errors
from autodl.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodl.metrics import Metric

    Array: TypeAlias = NDArray[Any]

PARTS = 64  # of the rows, of which a bag takes half
ROWS = 10_000  # a bag: more are not needed to rank candidates by
ROWS_IF_SLOW, BAGS_IF_SLOW, CANDIDATES_IF_SLOW = 2_500, 10, 20  # where every mean must be judged by itself
PATIENCE = 8  # picks without a better mean after which a bag is full
MIN_GAIN = 1e-6  # relative: less is rounding
STEADY_MODELS = 10
STEADY_ROWS = 30  # rows at which a choice and an even mean count alike
MOST_T = 2.0  # standard errors that a model may be worse than the best and still pass for equal
LEAST_SHARE = 0.01  # of less, a model costs more time than it gains


def select(
    predictions: Array,
    targets: Array,
    metric: Metric,
    *,
    size: int = 32,
    candidates: int = 50,
    bags: int = 20,
    seed: int = 0,
) -> Array:
    """Return each model's share in the mean that predicts best; never worse on these rows than the best single one.

    Each bag sees a random half of the rows. Starting with the model that is best on them, the one is added, again and
    again and perhaps not for the first time, with which the mean scores best; the best mean on the way is kept. The
    shares are the mean over the bags. So a model that fits some rows by luck is picked in few bags, and of models that
    are as good as each other now one is picked and now another: few rows give an even mean of many, many rows a sharp
    choice. On less than about 250 rows a part is spread evenly over all that may be as good as the best besides. Where
    a metric cannot tell means apart, as accuracy often cannot, the squared error decides (of probabilities, the Brier
    score), then the order of the models.

    Args:
        predictions: As ``autodl.tasks.Task`` describes them, best of rows that the models were not fitted on.
        targets: Likewise.
        metric: What to optimise, as ``get_metric`` returns it.
        size: Picks in a bag at most, and models at most that get a share.
        candidates: How many of the best single models are considered; fewer where the metric is slow.
        bags: How many halves of the rows are drawn; fewer where the metric is slow.
        seed: Of the halves.

    Shape:
        predictions: models rows, or models rows values
        targets: rows, or rows targets
        returned: models; the sum is 1

    Raises:
        RunError: No model's predictions are all finite.

    Reference:
        Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble selection from libraries of models, ICML 2004, sections 2.1
        (with replacement), 2.2 (sorted initialisation), 2.3 (bagged, there over models).
        Bühlmann, Yu: Analyzing bagging, Annals of Statistics 30 (2002), section 3 (halves without replacement).
    """
    losses = _single_losses(predictions, targets, metric)
    order = [int(model) for model in np.lexsort(losses[::-1]) if np.isfinite(losses[1, model])]
    if not order:
        raise RunError(
            f"a model must predict finite numbers for the validation rows, however none of {len(predictions)} does; "
            "search longer, or look at the leaderboard's errors"
        )
    slow = is_slow(metric, targets)
    pool = np.array(order[: min(candidates, CANDIDATES_IF_SLOW) if slow else candidates])
    generator = np.random.default_rng(seed)
    some = generator.permutation(len(targets))[: 2 * (ROWS_IF_SLOW if slow else ROWS)]
    parts = np.array_split(some, min(PARTS, len(some)))
    models = blends([predictions[np.ix_(pool, part)] for part in parts], [targets[part] for part in parts], metric)
    halves = [
        generator.permutation(len(parts))[: (len(parts) + 1) // 2]
        for _ in range(min(bags, BAGS_IF_SLOW) if slow else bags)
    ]
    shares = np.mean([_climbed(models.on(half), size) for half in halves], axis=0)
    shares = _steadied(shares, predictions[pool], targets)
    shares = np.where(shares >= min(LEAST_SHARE, shares.max()), shares, 0)
    kept = np.argsort(-shares, kind="stable")[:size]
    weights = np.zeros(len(predictions))
    weights[pool[kept]] = shares[kept] / shares[kept].sum()
    found = _single_losses(np.tensordot(weights[pool], predictions[pool], axes=1)[None], targets, metric)[:, 0]
    return weights if tuple(found) <= tuple(losses[:, order[0]]) else np.eye(len(predictions))[order[0]]


def _climbed(blend: Blends, size: int) -> Array:
    """Shares by greedy selection with replacement: those of the best mean on the way."""
    picks: list[int] = []
    best, kept = None, 0
    while len(picks) < size and len(picks) - kept < PATIENCE:
        losses = blend.losses()
        model = int(np.lexsort(losses[::-1])[0])
        picks.append(model)
        blend.add(model)
        found = (float(losses[0, model]), float(losses[-1, model]))
        if best is None or _is_gain(found, best):
            best, kept = found, len(picks)
    return np.bincount(picks[:kept], minlength=losses.shape[1]) / kept


def _is_gain(found: tuple[float, float], best: tuple[float, float]) -> bool:
    """Whether the metric gains, or at least does not lose while the squared error gains."""
    if found[0] < best[0]:
        return math.isinf(best[0]) or best[0] - found[0] > MIN_GAIN * abs(best[0])
    return found[0] == best[0] and best[1] - found[1] > MIN_GAIN * best[1]


def _steadied(shares: Array, predictions: Array, targets: Array) -> Array:
    """Shares moved towards an even mean of the models that may be as good as the best; on few rows only.

    Which models are worse than the best by more than luck is told by a paired test on the rows' squared errors: those
    with t <= 2 may be as good. Their even mean counts as much as a choice on ``STEADY_ROWS`` rows; where that comes to
    less than a hundredth a model, it is left out.
    """
    rows = len(targets)
    share = STEADY_ROWS / (STEADY_ROWS + rows)
    if share < LEAST_SHARE:
        return shares
    errors = row_errors(predictions, targets)
    best = int(errors.mean(axis=1).argmin())
    worse = errors - errors[best]
    equal = np.flatnonzero(worse.mean(axis=1) <= MOST_T * worse.std(axis=1) / np.sqrt(rows))[:STEADY_MODELS]
    if share / len(equal) < LEAST_SHARE:
        return shares
    even = np.zeros(len(shares))
    even[equal] = 1 / len(equal)
    return np.asarray((1 - share) * shares + share * even)


def _single_losses(predictions: Array, targets: Array, metric: Metric) -> Array:
    """How bad each model is: what is to be made small of the metric, then the squared error.

    Shape: models rows, or models rows values → 2 models
    """
    with np.errstate(all="ignore"):  # a model far off has an infinite error
        found = [metric.loss(float(metric.function(targets, each))) for each in predictions]
        squares = [row_errors(each[None], targets).mean() for each in predictions]  # one by one: they may be large
        return np.stack([np.nan_to_num(found, nan=np.inf), squares])
