"""The driver: owns all trials, decides what trains next, and hears what became of it.

while there is time: give free workers a job → hear → journal → tell the listener
a job is: what a dead worker left · what an earlier session left · an estimator, if it is its turn · trials that may
pass their rung · a new pack of networks
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autodl.records import TrialConfig, TrialRecord
from autodl.tuning.budget import Clock
from autodl.tuning.events import EpochDone, Listener, PackStarted, Said, TrialChanged
from autodl.tuning.executors.job import Executor, Message, PackJob
from autodl.tuning.prepared import Prepared
from autodl.tuning.proposals import Params, Proposer
from autodl.tuning.retries import retries
from autodl.tuning.rungs import N_RUNGS, REDUCTION, levels_of, next_rung, promotable
from autodl.tuning.tidy import tidy
from autodl.tuning.trials import Trials
from autodl.tuning.turns import Turns

LAST_PHASE = 0.25  # share of the time in which what has begun goes before what is new
POLL_SECONDS = 0.1
TIDY_EVERY = 50  # new trials
FIRST_TRAINING_SECONDS = 2.0  # a budget too short for any training is exceeded rather than end without an answer
FIRST_ANSWER_SECONDS = 30.0  # and so long is waited for it


@dataclass(frozen=True)
class Plan:
    """What does not change during a search.

    Attributes:
        epochs: Length of a whole training of the first network that is tried.
        length: Length of the training of a configuration, where others cost more or less; ``epochs`` unless given.
        pack_size: Members of a new pack; convolutions on a CPU train alone.
        trials: How many to start; None for as many as fit.
        lockstep: Whether free workers wait for each other, so that what is decided never depends on who is faster.
        seed: Of all trials.
        device: Where to train.
        threads: Of each worker.
        bf16: Whether convolutions are computed in bfloat16.
        alone: Says of a configuration whether it trains alone.
        latency: Whether workers time predictions.
        rungs: How often a trial waits on its way.
    """

    epochs: int
    pack_size: int
    trials: int | None
    lockstep: bool
    seed: int
    device: str
    threads: int
    bf16: bool
    alone: Callable[[TrialConfig], bool]
    latency: bool = False
    rungs: int = N_RUNGS
    length: Callable[[TrialConfig], int] | None = None


class Driver:
    """Runs a search on an executor.

    Args:
        plan: What does not change.
        trials: All trials, those of earlier sessions included.
        proposer: Where new networks come from.
        turns: Says when an estimator is next.
        prepared: Makes the rows that a configuration asks for.
        executor: Where packs train.
        clock: How much time is left.
        listener: Whom to tell.
        stop: Set by whoever wants the search to end well.
    """

    def __init__(
        self,
        plan: Plan,
        trials: Trials,
        proposer: Proposer,
        turns: Turns,
        prepared: Prepared,
        executor: Executor,
        *,
        clock: Clock,
        listener: Listener,
        stop: threading.Event,
    ) -> None:
        self.plan, self.trials, self.proposer, self.turns, self.prepared = plan, trials, proposer, turns, prepared
        self.executor, self.clock, self.listener, self.stop = executor, clock, listener, stop
        self._jobs = self._tidied = 0
        self._again: deque[PackJob] = deque()
        self._given: dict[int, PackJob] = {}
        self._left_over = [number for number, e in trials.entries.items() if e.record.state == "running"]

    def run(self) -> None:
        """Search until there is nothing to do, no time, or a wish to stop."""
        while not self._over():
            self._fill()
            if not self.executor.running:
                return
            self._hear(self.executor.poll(POLL_SECONDS))
            if len(self.trials.entries) >= self._tidied + TIDY_EVERY:
                self._tidied = len(self.trials.entries)
                tidy(self.prepared.run, self.trials.records, self.trials.metric.greater_is_better)
        if not self.stop.is_set():
            self._wait(FIRST_ANSWER_SECONDS, lambda: self.turns.answered)
        self.executor.stop()
        self._wait(max(1.0, self.clock.reserve / 2), lambda: not self._networks_run())

    def _over(self) -> bool:
        """Whether no more is to be started; without any job yet there is none that could give an answer."""
        return self.stop.is_set() or (self.clock.left() <= 0 and self._jobs > 0)

    def _wait(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Hear what running jobs have to say."""
        end = time.monotonic() + seconds
        while self.executor.running and not enough() and time.monotonic() < end:
            self._hear(self.executor.poll(POLL_SECONDS))

    def _networks_run(self) -> bool:
        """Whether any is under way that will report; an estimator may hear too late that it is to stop."""
        jobs = self.executor.running.values()
        return any(config.estimator is None for job in jobs for config in job.members.values())

    def _fill(self) -> None:
        if self.plan.lockstep and self.executor.running:
            return
        while self.executor.free and not self._over():
            job = self._next()
            if job is None:
                return
            self._start(job)

    def _next(self) -> PackJob | None:
        if self._again:
            return self._again.popleft()
        if self._left_over:
            return self._resume()
        return self._estimator() or self._promotion() or self._new()

    def _estimator(self) -> PackJob | None:
        """An estimator's trial; the very first job is one of networks, where there are any."""
        if self._jobs == 0 and not self.turns.alone:
            return None
        numbers = self.turns.take(self.clock.left(), exhausted=self._exhausted())
        return self._job(numbers) if numbers else None

    def _resume(self) -> PackJob:
        """Trials that were training when an earlier session ended, as far as one pack can hold them."""
        first = self.trials.entries[self._left_over[0]]
        together = [n for n in self._left_over if self.trials.entries[n].pack == first.pack]
        together = [n for n in together if self.trials.entries[n].record.epoch == first.record.epoch]
        self._left_over = [n for n in self._left_over if n not in together]
        return self._job(together)

    def _promotion(self) -> PackJob | None:
        """The best that wait, with those of the same structure beside them."""
        last = self._exhausted() or self.clock.share_left() < LAST_PHASE
        share = 2 / REDUCTION if last else 1 / REDUCTION
        better = self.trials.metric.greater_is_better
        networks = [known.record for known in self.trials.networks]
        chosen = promotable(networks, self.plan.rungs, better, share, two=self.trials.cost is not None)
        if not chosen and self._exhausted() and not self.executor.running:
            chosen = self._best_waiting()
        if not chosen:
            return None
        packs = {entry.record.number: entry.pack for entry in self.trials.entries.values()}
        together = [each.number for each in chosen if packs[each.number] == packs[chosen[0].number]]
        return self._job(together[: self._size(chosen[0].config)])

    def _best_waiting(self) -> list[TrialRecord]:
        """Where too few trials were started for a third to be anybody, the best one still goes to the end."""
        networks = [known.record for known in self.trials.networks]
        best = None if any(each.state == "complete" for each in networks) else self.trials.best_of(networks)
        return [best] if best is not None and best.state == "paused" else []

    def _new(self) -> PackJob | None:
        if self._exhausted() or self.turns.alone:
            return None
        left = math.inf if self.plan.trials is None else self.plan.trials - self.trials.searched
        size = int(min(self.plan.pack_size, left))
        elapsed = math.inf if self.plan.lockstep else time.time() - self.clock.started
        pack = self.proposer.packs
        proposals = self.proposer.pack(size, self.trials.networks, elapsed)
        proposals = proposals[: self._size(self._build(proposals[0].params, 0))]
        return self._job(self.trials.start(proposals, self._build, pack, self.plan.seed))

    def _build(self, params: Params, seed: int) -> TrialConfig:
        config = self.proposer.space.config(params, self.plan.epochs, seed)
        return replace(config, epochs=self.plan.length(config)) if self.plan.length else config

    def _levels(self, number: int) -> tuple[int, ...]:
        return levels_of(self.trials.entries[number].record.config, self.plan.rungs)

    def _first_rung(self, job: PackJob) -> int:
        return self._levels(next(iter(job.members)))[0]

    def _exhausted(self) -> bool:
        return self.plan.trials is not None and self.trials.searched >= self.plan.trials

    def _size(self, config: TrialConfig) -> int:
        return 1 if self.plan.alone(config) else self.plan.pack_size

    def _job(self, numbers: Sequence[int]) -> PackJob:
        records = [self.trials.entries[number].record for number in numbers]
        config = records[0].config
        return PackJob(
            id=self._job_number(),
            folder=str(self.prepared.run.path),
            members={record.number: record.config for record in records},
            inputs=self.prepared.keys(config),
            epoch=records[0].epoch,
            until=1 if config.estimator else next_rung(records[0].epoch, self._levels(numbers[0])),
            deadline=self._deadline(),
            device=self.plan.device,
            threads=self.plan.threads,
            bf16=self.plan.bf16,
            latency=self.plan.latency,
            room=self._size(config),
        )

    def _deadline(self) -> float | None:
        """When a job must stop inside its epoch; the first ones get a moment whatever the clock says."""
        if self.clock.training_deadline is None or self.turns.answered:
            return self.clock.training_deadline
        return max(self.clock.training_deadline, time.time() + FIRST_TRAINING_SECONDS)

    def _job_number(self) -> int:
        self._jobs += 1
        return self._jobs

    def _start(self, job: PackJob) -> None:
        from autodl.leaderboard import describe

        numbers = tuple(job.members)
        self.trials.running(numbers)
        what = describe(next(iter(job.members.values())))
        self.listener(PackStarted(numbers, what, job.epoch, job.until))
        self._given[job.id] = job
        self.executor.submit(job)

    def _hear(self, messages: Sequence[Message]) -> None:
        for message in messages:
            match message["event"]:
                case "trial":
                    record = self.trials.heard(message, self._levels(message["number"]))
                    self.listener(TrialChanged(record, self.trials.best))
                case "epoch":
                    self.listener(EpochDone(tuple(message["numbers"]), message["epoch"], tuple(message["scores"])))
                case "said":
                    self.listener(Said(message["text"]))
                case "free":
                    self._top_up(message["job"], message["slots"])
                case "done":
                    self._done(self._given.pop(message["job"]))
                case "lost":
                    self._given.pop(message["job"].id, None)
                    self._lost(message["job"], message["reason"])

    def _top_up(self, number: int, slots: int) -> None:
        """A pack has room: new trials of its structure join it, unless what has begun goes first."""
        job = self._given.get(number)
        late = self._over() or self.clock.share_left() < LAST_PHASE
        if job is None or late or self.plan.lockstep or self._exhausted():
            return
        left = math.inf if self.plan.trials is None else self.plan.trials - self.trials.searched
        entry = self.trials.entries[next(iter(job.members))]
        proposals = self.proposer.joining(entry.params, self.trials.networks, int(min(slots, left)))
        numbers = self.trials.start(proposals, self._build, entry.pack, self.plan.seed)
        job = replace(job, members={**job.members, **{n: self.trials.entries[n].record.config for n in numbers}})
        self._given[job.id] = job
        self.executor.join(job, self._first_rung(job), numbers)

    def _done(self, job: PackJob) -> None:
        """Nothing more comes of a job: trials that came too late to join it are trained in one of their own."""
        late = {n: c for n, c in job.members.items() if self.trials.entries[n].record.state == "running"}
        if late:
            self._again.append(replace(job, id=self._job_number(), members=late, epoch=0, until=self._first_rung(job)))

    def _lost(self, job: PackJob, reason: str) -> None:
        """A worker died: what it had not finished starts again from its checkpoints; in the end one by one."""
        records = {n: self.trials.entries[n].record for n in job.members}
        lost = {number: record for number, record in records.items() if record.state == "running"}
        again, said = retries(job, lost, self._first_rung(job), reason)
        self._again += [replace(each, id=self._job_number()) for each in again]
        if again:
            self.listener(Said(said))
        elif lost:
            record = self.trials.fail(next(iter(lost)), said)
            self.listener(TrialChanged(record, self.trials.best))
