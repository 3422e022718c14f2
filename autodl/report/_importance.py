"""Which hyperparameters the scores of a search hang on, asked of trials that the answer was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autodl.report._knobs import Knob

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

FEWEST = 10  # trials
RESAMPLES, TREES, SHUFFLES = 30, 20, 5
_MOST = 500  # trials that one forest is fitted on
_LEAST_EXPLAINED = 0.05


@dataclass(frozen=True, eq=False)
class Importance:
    """What the knobs do to the order of the trials.

    Attributes:
        knobs: The most important first.
        share: Of each, the share of the variance of ranks that is lost when its values are shuffled.
        low: Of each, the 5th percentile over resamples.
        high: Of each, the 95th percentile over resamples.
        explained: Share of the variance of ranks that the forests explain on trials they were not fitted on.
        trials: How many trials it is worked out from.
        reason: Why there is no answer; empty where there is one.
    """

    knobs: tuple[Knob, ...] = ()
    share: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    explained: float = float("nan")
    trials: int = 0
    reason: str = ""


def importance(knobs: Sequence[Knob], scores: Sequence[float], seed: int = 0) -> Importance:
    """Return how much each knob matters for the order of some trials.

    Trials are drawn anew with replacement, a forest is fitted to their ranks, and the knob's values are shuffled
    among those trials left out in which it counts; what the forest's squared error gains by that is the knob's share.

    Args:
        knobs: Those that differ between the trials.
        scores: One a trial, finite.
        seed: Of draws, forests and shuffles.

    Reference:
        Breiman: Random Forests, Machine Learning 45, 2001, section 10 (permutation importance on rows left out).
    """
    trials = len(scores)
    if trials < FEWEST:
        return Importance(
            trials=trials, reason=f"only {trials} trials have a score, and fewer than {FEWEST} tell nothing"
        )
    if not knobs:
        return Importance(trials=trials, reason="all trials have the same hyperparameters")
    ranks = _ranks(np.asarray(scores, float))
    if not ranks.any():
        return Importance(trials=trials, reason="all trials have the same score")
    shares, explained = _resampled(_matrix(knobs), ranks, np.random.default_rng(seed))
    if explained < _LEAST_EXPLAINED:
        said = (
            f"forests fitted on them explain {max(explained, 0.0):.0%} of the order of trials that they have not seen"
        )
        return Importance(trials=trials, explained=explained, reason=f"{trials} trials are too few to tell: {said}")
    mean = shares.mean(0)
    low, high = np.percentile(shares, [5, 95], axis=0)
    order = np.argsort(-mean, kind="stable")
    return Importance(
        knobs=tuple(knobs[at] for at in order),
        share=tuple(mean[order].tolist()),
        low=tuple(low[order].tolist()),
        high=tuple(high[order].tolist()),
        explained=explained,
        trials=trials,
    )


def _resampled(cells: Array, ranks: Array, generator: np.random.Generator) -> tuple[Array, float]:
    """Each resample's share of every knob, and what the forests explain. Shape: → resamples knobs."""
    from sklearn.ensemble import RandomForestRegressor

    variance = ranks.var()
    found: list[Array] = []
    errors: list[float] = []
    while len(found) < RESAMPLES:
        drawn = generator.integers(len(ranks), size=min(len(ranks), _MOST))
        left = np.setdiff1d(np.arange(len(ranks)), drawn)[:_MOST]
        if len(left) < 2 or np.ptp(ranks[drawn]) == 0:
            continue
        forest = RandomForestRegressor(TREES, max_features=0.5, random_state=int(generator.integers(2**31)))
        forest.fit(cells[drawn], ranks[drawn])
        tried = np.concatenate([cells[left][None], _shuffled(cells[left], generator)])
        told = forest.predict(tried.reshape(-1, cells.shape[1])).reshape(len(tried), -1)
        missed = ((told - ranks[left]) ** 2).mean(1)
        found.append((missed[1:].reshape(-1, SHUFFLES).mean(1) - missed[0]) / variance)
        errors.append(float(missed[0]))
    return np.stack(found), float(1 - np.mean(errors) / variance)


def _shuffled(cells: Array, generator: np.random.Generator) -> Array:
    """Copies of some trials, in each of which one knob is shuffled. Shape: trials knobs → copies trials knobs."""
    copies = np.repeat(cells[None], cells.shape[1] * SHUFFLES, axis=0)
    for at, copy in enumerate(copies):
        knob = at // SHUFFLES
        counts = np.flatnonzero(~np.isnan(cells[:, knob]))
        copy[counts, knob] = generator.permutation(cells[counts, knob])
    return copies


def _matrix(knobs: Sequence[Knob]) -> Array:
    """Numbers as they are, other values by their place; NaN where a knob does not count. Shape: → trials knobs."""
    columns = []
    for knob in knobs:
        places = {value: at for at, value in enumerate(knob.options)}
        told = [value if knob.numeric or value is None else places[value] for value in knob.values]
        columns.append(np.array([np.nan if value is None else value for value in told], float))
    return np.stack(columns, 1)


def _ranks(scores: Array) -> Array:
    """Places from -1 to 1; equal scores share one."""
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return middle[where] / max(len(scores) - 1, 1) * 2 - 1 if len(counts) > 1 else np.zeros(len(scores))
