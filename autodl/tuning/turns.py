"""When a free worker takes an estimator instead of a pack of networks, and which.

Baselines come first, one at a time and beside the first networks; then estimators get a share of the time, more while
one of them leads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from autodl.tuning.estimator_proposals import EstimatorProposer, baseline
from autodl.tuning.proposals import Proposal
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.trials import BASELINE, NO_PACK, Trials

SHARE = 0.3  # of the time that all workers trained
LEADING_SHARE = 0.5  # while the best trial is an estimator
NETWORKS_A_TURN = 4  # in lockstep, where time must not matter


class Turns:
    """Whose turn it is.

    Args:
        space: The whole search space.
        trials: All trials, those of earlier sessions included.
        proposer: Where new estimators come from; None where none are searched.
        baselines: Estimators that every leaderboard shows.
        seed: Of the whole search.
        lockstep: Whether nothing may depend on time.
    """

    def __init__(
        self,
        space: SearchSpace,
        trials: Trials,
        proposer: EstimatorProposer | None,
        baselines: Sequence[str],
        seed: int,
        *,
        lockstep: bool,
    ) -> None:
        self.space, self.trials, self.proposer, self.seed, self.lockstep = space, trials, proposer, seed, lockstep
        self.alone = not space.has_networks
        known = {each.record.config.estimator.name for each in trials.estimators if each.record.source == BASELINE}  # type: ignore[union-attr]
        self._baselines = deque(name for name in baselines if name not in known)

    @property
    def answered(self) -> bool:
        """Whether a trial has a score that may predict: baselines that are not searched only stand in the board."""
        names = self.proposer.names if self.proposer else frozenset()
        records = (record for record in self.trials.records if record.score is not None)
        return any(record.config.estimator is None or record.config.estimator.name in names for record in records)

    def take(self, left: float, *, exhausted: bool) -> list[int]:
        """The number of a new estimator's trial, if it is its turn; else nothing.

        Args:
            left: Seconds of training left.
            exhausted: Whether no more trials may be started, baselines aside.
        """
        busy = any(each.record.state == "running" for each in self.trials.estimators)
        if busy and not (self.alone and self.proposer):
            return []
        if self._baselines:
            return self._start(baseline(self.space, self._baselines.popleft()))
        if exhausted or self.proposer is None or not self._due(left):
            return []
        proposal = self.proposer.next(self.trials.estimators)
        return self._start(proposal) if proposal else []

    def _start(self, proposal: Proposal) -> list[int]:
        build = self.space.config
        return self.trials.start([proposal], lambda params, seed: build(params, 1, seed), NO_PACK, self.seed)

    def _due(self, left: float) -> bool:
        own, others = self.trials.estimators, self.trials.networks
        if self.alone:
            return True
        if self.lockstep:
            searched = sum(each.record.source != BASELINE for each in own)
            return searched < len(others) // NETWORKS_A_TURN
        spent = sorted(each.record.seconds for each in own)
        if spent and left < 1.5 * spent[len(spent) // 2]:
            return False
        best = self.trials.best
        share = LEADING_SHARE if best is not None and best.config.estimator else SHARE
        return sum(spent) <= share * (sum(spent) + sum(each.record.seconds for each in others))
