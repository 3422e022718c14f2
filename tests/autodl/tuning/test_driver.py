from __future__ import annotations

import threading
import time

import pytest

from autodl.tuning.budget import Clock
from autodl.tuning.driver import Driver, Plan
from autodl.tuning.estimator_proposals import EstimatorProposer
from autodl.tuning.events import PackStarted, Said, TrialChanged
from autodl.tuning.executors.job import Executor
from autodl.tuning.proposals import Proposer
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.trials import BASELINE, NO_PACK
from autodl.tuning.turns import Turns


class Pretend(Executor):
    """Trains nothing: each trial's score is told by a function of its number; workers die where a script says so."""

    def __init__(self, slots=2, dies=(), score=float, epochs=9):
        super().__init__(slots=slots)
        self.dies = list(dies)
        self.score = score
        self.epochs = epochs
        self.jobs = []
        self.stopped = False

    def log_to(self, folder):
        raise AssertionError("the driver writes no logs")

    def submit(self, job):
        self.running[job.id] = job
        self.jobs.append(job)

    def poll(self, seconds):
        time.sleep(0.001)
        number, job = next(iter(self.running.items()))
        del self.running[number]
        if self.dies and self.dies.pop(0):
            return [{"event": "lost", "job": job, "reason": "killed by signal 9"}]
        facts = {"epoch": job.until, "best_epoch": job.until, "n_parameters": 1, "seconds": 0.1, "error": ""}
        ended = job.until >= self.epochs or any(config.estimator for config in job.members.values())
        return [{"event": "trial", "number": n, "score": self.score(n), "ended": ended, **facts} for n in job.members]

    def stop(self):
        self.stopped = True

    def close(self):
        self.running.clear()


@pytest.fixture
def drive(prepared, trials, space):
    """Run a driver to its end; return it with what it told."""

    def run(executor, told=None, seconds=None, stop=None, baselines=(), estimators=False, searched=space, **changes):
        plan = {"epochs": 9, "pack_size": 4, "trials": 12, "lockstep": True, "seed": 0, "device": "cpu", "threads": 1}
        plan |= {"bf16": False, "alone": lambda config: False, **changes}
        heard = [] if told is None else told
        proposer = Proposer(searched.networks, False, 0, trials.packs)
        others = EstimatorProposer(searched.estimators, False, 0) if estimators else None
        turns = Turns(searched, trials, others, baselines, 0, lockstep=plan["lockstep"])
        clock = Clock(time.time(), seconds)
        stop = stop or threading.Event()
        driver = Driver(
            Plan(**plan), trials, proposer, turns, prepared, executor, clock=clock, listener=heard.append, stop=stop
        )
        driver.run()
        return driver, heard

    return run


def of_estimators(job):
    return any(config.estimator for config in job.members.values())


def states(trials):
    return sorted(record.state for record in trials.records)


def test_all_trials_are_started_and_the_best_reach_the_end(drive, trials):
    drive(Pretend())
    assert len(trials.records) == 12
    complete = [record.number for record in trials.records if record.state == "complete"]
    assert 0 in complete
    assert len(complete) < 12
    assert all(record.score is not None for record in trials.records)


def test_the_same_again_decides_the_same(drive, trials, prepared, space, run):
    first, second = Pretend(), Pretend()
    drive(first)
    trials.entries.clear()
    drive(second)
    assert [(j.members, j.until) for j in first.jobs] == [(j.members, j.until) for j in second.jobs]


def test_a_single_trial_still_reaches_its_end(drive, trials):
    drive(Pretend(), trials=1)
    assert states(trials) == ["complete"]


def test_networks_that_must_train_alone_do(drive):
    executor = Pretend()
    drive(executor, alone=lambda config: True)
    assert {len(job.members) for job in executor.jobs} == {1}


def test_a_dead_worker_costs_a_repetition_and_no_trial(drive, trials):
    executor = Pretend(dies=[True])
    _, heard = drive(executor)
    assert executor.jobs[0].members == next(job for job in executor.jobs if job.attempt == 1).members
    assert "failed" not in states(trials)
    assert any(isinstance(event, Said) and "start again from their checkpoints" in event.text for event in heard)


def test_a_trial_that_kills_every_worker_is_given_up_alone(drive, trials):
    class Poison(Pretend):
        def poll(self, seconds):
            job = next(iter(self.running.values()))
            self.dies = [2 in job.members]
            return super().poll(seconds)

    drive(Poison())
    failed = [record for record in trials.records if record.state == "failed"]
    assert [record.number for record in failed] == [2]
    assert failed[0].error == "its worker died 3 times (killed by signal 9)"
    assert len(trials.records) == 12


def test_time_ends_a_search_without_a_number_of_trials(drive, trials):
    executor = Pretend()
    start = time.monotonic()
    drive(executor, trials=None, lockstep=False, seconds=4.0)
    assert time.monotonic() - start < 4.0
    assert executor.stopped
    assert len(trials.records) > 12


def test_a_wish_to_stop_ends_it_at_once(drive, trials):
    stop = threading.Event()
    stop.set()
    executor = Pretend()
    drive(executor, stop=stop)
    assert executor.jobs == []


def test_trials_that_ran_when_a_session_ended_go_first_in_the_next(drive, trials, space):
    build = lambda params, seed: space.config(params, 9, seed)  # noqa: E731
    numbers = trials.start(Proposer(space.networks, False, 0).pack(3, []), build, 0, 0)
    (alone,) = trials.start([EstimatorProposer(space, False, 0).next([])], build, NO_PACK, 0)
    executor = Pretend(slots=1)
    drive(executor)
    assert [list(job.members) for job in executor.jobs[:2]] == [numbers, [alone]]
    assert len(trials.records) == 12


def test_the_listener_hears_of_packs_and_trials_in_order(drive):
    _, heard = drive(Pretend())
    assert isinstance(heard[0], PackStarted)
    assert "mlp" in heard[0].what or "linear" in heard[0].what
    changed = [event for event in heard if isinstance(event, TrialChanged)]
    assert changed[-1].best is not None
    assert changed[-1].best.number == 0


class TestEstimators:
    """Beside the networks, or without them."""

    NAMES = ("dummy", "linear_model", "extra_trees")

    def test_baselines_come_second_once_and_count_as_no_trial(self, drive, trials):
        executor = Pretend(slots=1)
        drive(executor, baselines=self.NAMES)
        assert not of_estimators(executor.jobs[0])
        assert all(of_estimators(job) for job in executor.jobs[1:4])
        assert not any(of_estimators(job) for job in executor.jobs[4:])
        found = [record for record in trials.records if record.source == BASELINE]
        assert [record.config.estimator.name for record in found] == list(self.NAMES)
        assert {record.state for record in found} == {"complete"}
        assert len(trials.records) == 12 + 3

    def test_baselines_are_fitted_though_no_more_networks_may_be_started(self, drive, trials):
        drive(Pretend(), baselines=self.NAMES, trials=1)
        assert [record.source == BASELINE for record in trials.records] == [False, True, True, True]
        assert states(trials) == ["complete"] * 4

    def test_an_estimator_is_one_job_of_one_epoch_with_the_rows_that_it_reads(self, drive, trials, prepared):
        executor = Pretend()
        drive(executor, baselines=self.NAMES)
        for job in executor.jobs:
            if of_estimators(job):
                (config,) = job.members.values()
                assert (job.epoch, job.until) == (0, 1)
                assert job.inputs == prepared.keys(config)

    @pytest.mark.parametrize("best", ["estimators", "networks"])
    def test_promotions_are_among_networks_alone(self, drive, trials, best):
        """However good estimators are: they wait at no rung."""

        def score(number):
            better = trials.entries[number].record.config.estimator is not None
            return number + (-1000.0 if better == (best == "estimators") else 1000.0)

        executor = Pretend(score=score)
        drive(executor, baselines=self.NAMES, estimators=True, trials=24)
        later = [job for job in executor.jobs if job.epoch > 0]
        assert later
        assert not any(of_estimators(job) for job in later)
        networks = [each.record for each in trials.networks]
        assert sum(1 in record.rungs and 3 in record.rungs for record in networks) == 2 * len(networks) // 3
        assert any(record.state == "complete" for record in networks)

    def test_those_that_are_searched_count_as_trials(self, drive, trials):
        drive(Pretend(), baselines=("dummy",), estimators=True, trials=20)
        searched = [each.record for each in trials.estimators if each.record.source != BASELINE]
        assert searched
        assert len(trials.networks) + len(searched) == 20 == trials.searched

    def test_without_networks_they_are_searched_alone(self, drive, trials, prepared):
        alone = SearchSpace.build(prepared.defaults(), prepared.dataset.task, 96, ("extra_trees", "linear_model"))
        executor = Pretend()
        drive(executor, searched=alone, baselines=("dummy",), estimators=True, trials=7)
        assert all(of_estimators(job) for job in executor.jobs)
        assert trials.networks == []
        assert trials.searched == 7
        assert states(trials) == ["complete"] * 8

    def test_the_same_again_decides_the_same(self, drive, trials):
        first, second = Pretend(), Pretend()
        drive(first, baselines=self.NAMES, estimators=True, trials=24)
        trials.entries.clear()
        drive(second, baselines=self.NAMES, estimators=True, trials=24)
        assert [(j.members, j.until) for j in first.jobs] == [(j.members, j.until) for j in second.jobs]

    def test_a_baseline_that_kills_its_worker_is_given_up(self, drive, trials):
        class Poison(Pretend):
            def poll(self, seconds):
                self.dies = [of_estimators(next(iter(self.running.values())))]
                return super().poll(seconds)

        drive(Poison(), baselines=("dummy",))
        (lost,) = [record for record in trials.records if record.state == "failed"]
        assert lost.source == BASELINE
        assert len(trials.records) == 13


def test_with_a_second_objective_a_cheap_trial_passes_its_rung_though_others_score_better(drive, trials):
    def passed(**changes):
        trials.entries.clear()
        drive(Pretend(), **changes)
        return {record.number for record in trials.records if record.epoch > 1}

    assert passed() == set(range(8))  # two thirds, once no more are started
    trials.cost = lambda record, said: 0.0 if record.number == 11 else 50.0 + record.number
    assert passed() == {*range(7), 11}


class Roomy(Pretend):
    """Each job tells of a free place when it is first polled, and is over when it is polled again.

    Args:
        late: Whether who joins comes too late to be trained.
    """

    def __init__(self, late=False, slots=1):
        super().__init__(slots=slots)
        self.late = late
        self.joined = {}
        self.told = set()

    def join(self, job, until, numbers):
        assert set(numbers) < set(job.members)
        self.running[job.id] = job
        self.joined[job.id] = (until, list(numbers))

    def poll(self, seconds):
        number = next(iter(self.running))
        if number not in self.told:
            self.told.add(number)
            return [{"event": "free", "job": number, "slots": 2}]
        until, fresh = self.joined.get(number, (0, []))
        found = super().poll(seconds)
        for message in found:
            if message["number"] in fresh:
                message |= {"epoch": until, "best_epoch": until, "ended": until >= self.epochs}
        if self.late:
            found = [message for message in found if message["number"] not in fresh]
        return [*found, {"event": "done", "job": number}]


class TestJoining:
    """Trials that are started into a pack that has room."""

    def test_new_trials_of_the_same_structure_take_free_places(self, drive, trials, networks):
        executor = Roomy()
        drive(executor, lockstep=False, trials=40)
        assert executor.joined
        for number, (until, fresh) in executor.joined.items():
            assert until == 1
            assert 1 <= len(fresh) <= 2
            (job,) = [job for job in executor.jobs if job.id == number]
            entries = [trials.entries[n] for n in (next(iter(job.members)), *fresh)]
            assert len({entry.pack for entry in entries}) == 1
            assert len({str(sorted(networks.structural(e.params).items(), key=str)) for e in entries}) == 1
        assert len(trials.records) == 40
        assert not {"running", "failed"} & set(states(trials))

    def test_no_more_are_started_than_were_asked_for(self, drive, trials):
        drive(Roomy(), lockstep=False, trials=5)
        assert len(trials.records) == 5

    def test_where_time_must_not_matter_nobody_joins(self, drive):
        executor = Roomy()
        drive(executor, lockstep=True)
        assert executor.joined == {}

    def test_who_came_too_late_is_trained_in_a_pack_of_its_own(self, drive, trials):
        executor = Roomy(late=True)
        drive(executor, lockstep=False, trials=40)
        _, fresh = next(iter(executor.joined.values()))
        assert fresh in [list(job.members) for job in executor.jobs]
        assert not {"running", "failed"} & set(states(trials))
