"""Rungs: trials wait at a few epochs, and the best third of those who got there goes on.

The driver decides, from records alone, so that a trial can be resumed by any worker, after any crash.

Reference:
    Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar: A System for Massively Parallel Hyperparameter Tuning,
    arXiv 1810.05934, algorithm 2 (ASHA, the form that promotes).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autodl.records import TrialRecord

REDUCTION = 3
N_RUNGS = 3


def rung_epochs(epochs: int, rungs: int = N_RUNGS) -> tuple[int, ...]:
    """The epochs at which trials wait, the last being the whole training.

    Args:
        epochs: Length of a whole training.
        rungs: How often a trial waits, its end counted.

    Example:
        >>> rung_epochs(81)
        (9, 27, 81)
    """
    levels = {max(1, math.ceil(epochs / REDUCTION**power)) for power in range(rungs)}
    return tuple(sorted(levels))


def next_rung(epoch: int, levels: tuple[int, ...]) -> int:
    """The rung after an epoch."""
    return next(level for level in levels if level > epoch)


def promotable(
    records: Iterable[TrialRecord],
    levels: tuple[int, ...],
    greater_is_better: bool,
    share: float = 1 / REDUCTION,
    *,
    two: bool = False,
) -> list[TrialRecord]:
    """Trials that wait at a rung and are among the best share of all that got there; the highest rung first.

    Args:
        records: All trials.
        levels: Epochs of the rungs.
        greater_is_better: Which scores are good.
        share: How many of those that reached a rung may pass it.
        two: Whether cost counts beside the score: then trials that no other beats in both come first, then those that
            only these beat, and so on.
    """
    sign = -1.0 if greater_is_better else 1.0
    everyone = list(records)
    for level in reversed(levels[:-1]):
        there = [each for each in everyone if level in each.rungs]
        reached = sorted(there, key=lambda each: (sign * each.rungs[level], each.number))
        if two:
            reached = by_fronts(reached)
        chosen = reached[: math.floor(share * len(reached) + 1e-9)]
        waiting = [each for each in chosen if each.state == "paused" and max(each.rungs) == level]
        if waiting:
            return waiting
    return []


def by_fronts(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials, given best score first, front after front; each front is beaten in both objectives only by earlier ones.

    Reference:
        Deb, Pratap, Agarwal, Meyarivan: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Transactions
        on Evolutionary Computation 6 (2002), section III A.
    """
    rest, ordered = list(records), []
    if all(record.cost is None for record in rest):
        return rest
    while rest:
        cheapest = math.inf
        front: list[TrialRecord] = []
        beaten: list[TrialRecord] = []
        for record in rest:
            cost = math.inf if record.cost is None else record.cost
            if cost < cheapest or not front:
                front.append(record)
                cheapest = min(cheapest, cost)
            else:
                beaten.append(record)
        ordered += front
        rest = beaten
    return ordered
