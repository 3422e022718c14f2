"""Rungs: trials wait at a few epochs, and the best third of those who got there goes on.

The driver decides, from records alone, so that a trial can be resumed by any worker, after any crash.

Reference:
    Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar: A System for Massively Parallel Hyperparameter Tuning,
    arXiv 1810.05934, algorithm 2 (ASHA, the form that promotes).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autodl.records import TrialConfig, TrialRecord

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


def levels_of(config: TrialConfig, rungs: int = N_RUNGS) -> tuple[int, ...]:
    """The epochs at which a configuration waits; one that is trained for a share of the usual length goes through."""
    short = float(config.training.get("length", 1.0)) < 1
    return (config.epochs,) if short else rung_epochs(config.epochs, rungs)


def next_rung(epoch: int, levels: tuple[int, ...]) -> int:
    """The rung after an epoch."""
    return next(level for level in levels if level > epoch)


def promotable(
    records: Iterable[TrialRecord],
    rungs: int,
    greater_is_better: bool,
    share: float = 1 / REDUCTION,
    *,
    two: bool = False,
) -> list[TrialRecord]:
    """Trials that wait at a rung and are among the best share of all that got there; the highest rung first.

    Trials that read the same inputs compete with each other, each at its own epochs; of those that read one input of
    several, which stand in the leaderboard to be compared with, the best always goes on.

    Args:
        records: All trials.
        rungs: How often each waits, as ``rung_epochs`` takes it.
        greater_is_better: Which scores are good.
        share: How many of those that reached a rung may pass it.
        two: Whether cost counts beside the score: then trials that no other beats in both come first, then those that
            only these beat, and so on.
    """
    sign = -1.0 if greater_is_better else 1.0
    everyone = list(records)
    widest = max((len(each.config.encoders) for each in everyone), default=1)
    for before_end in range(1, rungs):
        there: dict[tuple[str, ...], list[tuple[float, TrialRecord]]] = {}
        for each in everyone:
            levels = levels_of(each.config, rungs)
            if before_end < len(levels) and levels[-1 - before_end] in each.rungs:
                place = (sign * each.rungs[levels[-1 - before_end]], each)
                there.setdefault(tuple(sorted(each.config.encoders)), []).append(place)
        for read in sorted(there, key=lambda names: (-len(names), names)):
            reached = [each for _, each in sorted(there[read], key=lambda place: (place[0], place[1].number))]
            reached = by_fronts(reached) if two else reached
            alone = len(read) < widest
            chosen = reached[: max(math.floor(share * len(reached) + 1e-9), int(alone))]
            waiting = [each for each in chosen if each.state == "paused" and _waits_at(each, rungs, before_end)]
            if waiting:
                return waiting
    return []


def _waits_at(record: TrialRecord, rungs: int, before_end: int) -> bool:
    """Whether the last rung that it reached is that one."""
    return max(record.rungs) == levels_of(record.config, rungs)[-1 - before_end]


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
