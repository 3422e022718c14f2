"""Rungs: trials wait at a few epochs, and the best third of those who got there goes on.

The driver decides, from records alone, so that a trial can be resumed by any worker, after any crash.

Reference:
    Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar: A System for Massively Parallel Hyperparameter Tuning,
    arXiv 1810.05934, algorithm 2 (ASHA, the form that promotes).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from autodl.records import TrialRecord

REDUCTION = 3
N_RUNGS = 3


def rung_epochs(epochs: int) -> tuple[int, ...]:
    """The epochs at which trials wait, the last being the whole training.

    Example:
        >>> rung_epochs(81)
        (9, 27, 81)
    """
    levels = {max(1, math.ceil(epochs / REDUCTION**power)) for power in range(N_RUNGS)}
    return tuple(sorted(levels))


def next_rung(epoch: int, levels: tuple[int, ...]) -> int:
    """The rung after an epoch."""
    return next(level for level in levels if level > epoch)


def promotable(
    records: Iterable[TrialRecord], levels: tuple[int, ...], greater_is_better: bool, share: float = 1 / REDUCTION
) -> list[TrialRecord]:
    """Trials that wait at a rung and are among the best share of all that got there; the highest rung first.

    Args:
        records: All trials.
        levels: Epochs of the rungs.
        greater_is_better: Which scores are good.
        share: How many of those that reached a rung may pass it.
    """
    sign = -1.0 if greater_is_better else 1.0
    everyone = list(records)
    for level in reversed(levels[:-1]):
        reached = sorted((sign * each.rungs[level], each.number, each) for each in everyone if level in each.rungs)
        chosen = [each for _, _, each in reached[: math.floor(share * len(reached) + 1e-9)]]
        waiting = [each for each in chosen if each.state == "paused" and max(each.rungs) == level]
        if waiting:
            return waiting
    return []
