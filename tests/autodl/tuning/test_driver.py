from __future__ import annotations

import threading
import time

import pytest

from autodl.tuning.budget import Clock
from autodl.tuning.driver import Driver, Plan
from autodl.tuning.events import PackStarted, Said, TrialChanged
from autodl.tuning.executors.job import Executor
from autodl.tuning.proposals import Proposer


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
        ended = job.until >= self.epochs
        return [{"event": "trial", "number": n, "score": self.score(n), "ended": ended, **facts} for n in job.members]

    def stop(self):
        self.stopped = True

    def close(self):
        self.running.clear()


@pytest.fixture
def drive(prepared, trials, space):
    """Run a driver to its end; return it with what it told."""

    def run(executor, told=None, seconds=None, stop=None, **changes):
        plan = {"epochs": 9, "pack_size": 4, "trials": 12, "lockstep": True, "seed": 0, "device": "cpu", "threads": 1}
        plan |= {"bf16": False, "alone": lambda config: False, **changes}
        heard = [] if told is None else told
        proposer = Proposer(space, False, 0, trials.packs)
        clock = Clock(time.time(), seconds)
        stop = stop or threading.Event()
        driver = Driver(
            Plan(**plan), trials, proposer, prepared, executor, clock=clock, listener=heard.append, stop=stop
        )
        driver.run()
        return driver, heard

    return run


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
    numbers = trials.start(Proposer(space, False, 0).pack(3, []), space, 0, 9, 0)
    executor = Pretend(slots=1)
    drive(executor)
    assert list(executor.jobs[0].members) == numbers
    assert len(trials.records) == 12


def test_the_listener_hears_of_packs_and_trials_in_order(drive):
    _, heard = drive(Pretend())
    assert isinstance(heard[0], PackStarted)
    assert "mlp" in heard[0].what or "linear" in heard[0].what
    changed = [event for event in heard if isinstance(event, TrialChanged)]
    assert changed[-1].best is not None
    assert changed[-1].best.number == 0
