"""What to train next: the portfolio, then random points, then Optuna's TPE; a pack at a time.

The first member of a pack, its leader, fixes the structure; the others share it and differ in what members may differ
in. Leaders are learned from one point a pack, its best: if every member counted, eight trials of one structure would
make the sampler believe in that structure whatever it is worth. Every model family keeps a floor of leaders.

Studies live in memory and are filled from records each time, so that a resumed search proposes what it would have.

Reference:
    Watanabe: Tree-Structured Parzen Estimator, arXiv 2304.11127. Bergstra, Bengio: Random Search for Hyper-Parameter
    Optimization, JMLR 13 (2012).
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodl.records import TrialRecord
from autodl.space import Value
from autodl.tuning._assembly import INPUTS
from autodl.tuning._dimensions import default_value, near
from autodl.tuning.portfolio import portfolio
from autodl.tuning.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

Params: TypeAlias = dict[str, Value]

RANDOM_PACKS = 4  # after the portfolio, before TPE
RANDOM_SHARE = 0.25  # of leaders, for ever: the floor that every family keeps
ALONE_SHARE = 0.2  # of random leaders that may read one input of several
REMEMBERED = 100  # trials that TPE learns from: its cost grows with them
SAMPLER_SHARE = 0.05  # of the wall time; beyond, points are random


@dataclass(frozen=True)
class Proposal:
    """One trial to start.

    Attributes:
        params: A whole configuration, by path.
        source: ``portfolio``, ``random`` or ``tpe``.
    """

    params: Params
    source: str


@dataclass(frozen=True)
class Known:
    """A trial as the sampler sees it."""

    record: TrialRecord
    params: Params
    pack: int


class Proposer:
    """Proposes packs.

    Args:
        space: What may be proposed.
        greater_is_better: Which scores are good.
        seed: Of all chance.
        proposed: Packs that were proposed before, in an earlier session.
        two: Whether cost is made small beside the score.
    """

    def __init__(
        self, space: SearchSpace, greater_is_better: bool, seed: int, proposed: int = 0, *, two: bool = False
    ) -> None:
        self.space = space
        self.two = two
        self.sign = -1.0 if greater_is_better else 1.0
        self.seed = seed
        self.packs = proposed
        self.seconds = 0.0
        self._portfolio = _structures(space, portfolio(space)) if space.has_networks else []

    def pack(self, size: int, known: Sequence[Known], elapsed: float = math.inf) -> list[Proposal]:
        """Propose the members of the next pack, all of one structure.

        Args:
            size: How many.
            known: All trials so far.
            elapsed: Seconds since the search began, of which the sampler takes its share at most.
        """
        started = time.perf_counter()
        generator = np.random.default_rng([self.seed, self.packs])
        rich = self.seconds <= SAMPLER_SHARE * elapsed
        if self.packs < len(self._portfolio):
            proposals = self._from_portfolio(generator, size)
        elif rich and self.packs >= len(self._portfolio) + RANDOM_PACKS and generator.random() > RANDOM_SHARE:
            proposals = self._from_tpe(known, size)
        else:
            leader = self._rare(generator, known)
            proposals = [Proposal(leader, "random"), *self._relatives(leader, generator, size - 1)]
        self.packs += 1
        self.seconds += time.perf_counter() - started
        return proposals

    def joining(self, leader: Params, known: Sequence[Known], count: int) -> list[Proposal]:
        """Propose members for a pack that trains already and has room, of its structure.

        Half of them are near the best of that structure, the others random.
        """
        generator = np.random.default_rng([self.seed, self.packs, len(known)])
        fixed = self.space.structural(leader)
        scored = [each for each in known if each.record.score is not None]
        alike = [each for each in scored if self.space.structural(each.params) == fixed]
        best = min(alike, key=self._loss).params if alike else leader
        return [
            *self._neighbours(best, generator, (count + 1) // 2),
            *self._relatives(best, generator, count // 2),
        ]

    def _from_portfolio(self, generator: np.random.Generator, size: int) -> list[Proposal]:
        entries = self._portfolio[self.packs][:size]
        own = [Proposal(entry, "portfolio") for entry in entries]
        return own + self._neighbours(entries[0], generator, size - len(own))

    def _neighbours(self, leader: Params, generator: np.random.Generator, count: int) -> list[Proposal]:
        """Members for a known-good leader's structure: what they may differ in lies near its own values."""
        fixed = self.space.structural(leader)
        found = []
        for _ in range(count):
            wishes = {
                path: value if path in fixed else near(self.space.knobs[path].dimension, value, generator)
                for path, value in leader.items()
            }
            found.append(Proposal(self.space.nearest(wishes), "random"))
        return found

    def _relatives(self, leader: Params, generator: np.random.Generator, count: int) -> list[Proposal]:
        """Random members for a leader's structure."""
        fixed = self.space.structural(leader)
        return [Proposal(self.space.random(generator, fixed), "random") for _ in range(count)]

    def _rare(self, generator: np.random.Generator, known: Sequence[Known]) -> Params:
        """A random configuration of the family that led the fewest packs."""
        led = Counter({family(self.space, each.params): 0 for each in known})
        led.update(family(self.space, params) for params in {each.pack: each.params for each in known}.values())
        fixed: Params = {}
        if INPUTS in self.space.knobs and generator.random() >= ALONE_SHARE:
            fixed = {INPUTS: default_value(self.space.knobs[INPUTS].dimension)}
        drawn = [self.space.random(generator, fixed) for _ in range(16)]
        return min(drawn, key=lambda params: led[family(self.space, params)])

    def _from_tpe(self, known: Sequence[Known], size: int) -> list[Proposal]:
        scored = [each for each in known if each.record.score is not None]
        best: dict[int, Known] = {}
        for each in scored:
            if each.pack not in best or self._loss(each) < self._loss(best[each.pack]):
                best[each.pack] = each
        leader = self._ask(list(best.values()), {}, structural=True)
        fixed = self.space.structural(leader)
        remembered = sorted(scored, key=self._loss)[: REMEMBERED // 3]
        recent = [each for each in scored if each not in remembered][-(REMEMBERED - len(remembered)) :]
        members = self._asks(remembered + recent, fixed, size)
        return [Proposal(member, "tpe") for member in members]

    def _ask(self, known: Sequence[Known], fixed: Params, *, structural: bool = False) -> Params:
        return self._asks(known, fixed, 1, structural=structural)[0]

    def _asks(self, known: Sequence[Known], fixed: Params, count: int, *, structural: bool = False) -> list[Params]:
        import optuna

        seed = int(np.random.default_rng([self.seed, self.packs, int(structural)]).integers(2**31))
        with _quiet():
            sampler: Any = optuna.samplers.TPESampler(seed=seed, group=True, n_startup_trials=0)
            if fixed:
                sampler = optuna.samplers.PartialFixedSampler(fixed_params=fixed, base_sampler=sampler)
            study = optuna.create_study(sampler=sampler, directions=["minimize"] * (1 + self.two))
            study.add_trials([self._told(each, structural) for each in known])
            found = []
            for _ in range(count):
                trial = study.ask()
                asked = _Structural(trial, self.space) if structural else trial
                found.append(self.space.suggest(asked))
        return found

    def _told(self, known: Known, structural: bool) -> optuna.trial.FrozenTrial:
        import optuna

        ranges = self.space.distributions(known.params)
        if structural:
            ranges = {path: r for path, r in ranges.items() if not self.space.knobs[path].dimension.per_member}
        params = {path: known.params[path] for path in ranges}
        states = optuna.trial.TrialState
        if self.two:  # Optuna prunes no trials of two objectives
            cost = known.record.cost
            values = [self._loss(known), math.inf if cost is None else cost]
            return optuna.trial.create_trial(state=states.COMPLETE, params=params, distributions=ranges, values=values)
        done = known.record.state == "complete"
        return optuna.trial.create_trial(
            state=states.COMPLETE if done else states.PRUNED,
            params=params,
            distributions=ranges,
            value=self._loss(known),
            intermediate_values={} if done else {known.record.epoch: self._loss(known)},
        )

    def _loss(self, known: Known) -> float:
        assert known.record.score is not None, "internal error: an unscored trial"
        return self.sign * known.record.score


class _Structural:
    """A trial that is asked for structural knobs only; the others get their default."""

    def __init__(self, trial: optuna.Trial, space: SearchSpace) -> None:
        self._trial, self._space = trial, space

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._trial, name)

        def suggest(**arguments: Any) -> Any:
            dimension = self._space.knobs[arguments["name"]].dimension
            return default_value(dimension) if dimension.per_member else method(**arguments)

        return suggest


def family(space: SearchSpace, params: Mapping[str, Value]) -> tuple[Value, ...]:
    """The encoders of a configuration, and how they are fused."""
    return tuple(params.get(path, "") for path in (*(f"{name}.encoder" for name in space.inputs), "fusion"))


def _structures(space: SearchSpace, entries: Sequence[Params]) -> list[list[Params]]:
    """Portfolio entries grouped by structure, in the order of their first."""
    groups: dict[str, list[Params]] = {}
    for entry in entries:
        groups.setdefault(repr(sorted(space.structural(entry).items())), []).append(entry)
    return list(groups.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's notes on experimental samplers and its log are for its own users."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
