from __future__ import annotations

from dataclasses import replace

import pytest

from autodl.records import Component, TrialConfig, TrialRecord
from autodl.tuning.executors.job import PackJob
from autodl.tuning.retries import retries

CONFIG = TrialConfig({}, {}, Component("cross_entropy"), Component("adamw"), {}, 9, 0)


@pytest.fixture
def job() -> PackJob:
    members = {number: replace(CONFIG, seed=number) for number in range(3)}
    return PackJob(1, "run", members, {}, epoch=3, until=9, deadline=None, device="cpu", threads=1)


def records(**epochs: int) -> dict[int, TrialRecord]:
    return {int(name[1:]): TrialRecord(int(name[1:]), "running", CONFIG, epoch=epoch) for name, epoch in epochs.items()}


def test_what_was_lost_is_tried_again_together(job: PackJob) -> None:
    (again,), said = retries(job, records(t0=3, t2=3), 1, "killed by signal 9")
    assert list(again.members) == [0, 2]
    assert (again.until, again.attempt) == (9, 1)
    assert said == "a worker died (killed by signal 9); its 2 trials start again from their checkpoints"


def test_who_had_joined_on_the_way_still_waits_at_its_first_rung(job: PackJob) -> None:
    jobs, _ = retries(job, records(t0=3, t1=0), 1, "x")
    assert [(list(each.members), each.until) for each in jobs] == [([0], 9), ([1], 1)]


def test_the_second_time_each_is_tried_alone(job: PackJob) -> None:
    jobs, said = retries(replace(job, attempt=1), records(t0=3, t1=3), 1, "x")
    assert [list(each.members) for each in jobs] == [[0], [1]]
    assert "one by one" in said


def test_one_alone_is_given_up(job: PackJob) -> None:
    assert retries(replace(job, attempt=2), records(t1=3), 1, "x") == ([], "its worker died 3 times (x)")
