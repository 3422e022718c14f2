from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from autodl.tuning.executors.local import Local

pytestmark = pytest.mark.slow


@pytest.fixture
def pool(run):
    made = Local(1, "cpu", 1)
    yield made
    made.close()


def until(pool, wanted, seconds=60.0):
    """Poll until a message of that kind comes; return all that came."""
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found += pool.poll(0.2)
        if any(message["event"] == wanted for message in found):
            return found
    raise AssertionError(f"no '{wanted}' within {seconds} s, only {found}")


def pids(pool):
    return [worker.process.pid for worker in pool._workers]


def test_a_worker_trains_and_lives_on(pool, job):
    before = pids(pool)
    for number in (1, 2):
        pool.submit(job(id=number))
        assert pool.free == 0
        found = until(pool, "trial")
        while pool.running:
            found += pool.poll(0.2)
        assert sum(message["event"] == "trial" for message in found) == 3
        assert pool.free == 1
    assert pids(pool) == before


def test_a_trial_joins_a_pack_that_has_room(pool, job):
    made = job(epochs=100_000, until=100_000)
    fewer = replace(made, members={n: made.members[n] for n in (0, 1)}, room=3)
    pool.submit(fewer)
    (free,) = [message for message in until(pool, "free") if message["event"] == "free"]
    assert (free["job"], free["slots"]) == (1, 1)
    pool.join(made, 2, [2])
    (trial,) = [message for message in until(pool, "trial") if message["event"] == "trial"]
    assert (trial["number"], trial["epoch"], trial["ended"], trial["error"]) == (2, 2, False, "")
    assert set(pool.running[1].members) == {0, 1, 2}  # what would be told if the worker died


def test_who_joins_a_job_that_is_over_is_not_lost_in_another(pool, job):
    pool.submit(job(id=1, epochs=1, until=1))
    while pool.running:
        pool.poll(0.2)
    pool.join(job(id=1), 2, [2])
    assert pool.free == 1
    pool.submit(job(id=2, count=2, epochs=1, until=1))
    found = until(pool, "done")
    assert sorted(message["number"] for message in found if message["event"] == "trial") == [0, 1]


def test_a_killed_worker_is_seen_at_once_and_replaced(pool, job, run):
    pool.submit(job(epochs=100_000, until=100_000))
    until(pool, "epoch")
    (before,) = pids(pool)
    killed = time.monotonic()
    os.kill(before, signal.SIGKILL)
    found = until(pool, "lost")
    assert time.monotonic() - killed < 5.0
    lost = next(message for message in found if message["event"] == "lost")
    assert lost["reason"] == "killed by signal 9"
    assert set(lost["job"].members) == {0, 1, 2}
    assert pids(pool) != [before]
    assert pool.free == 1
    pool.submit(job(id=2))
    assert until(pool, "trial")


def test_asked_to_stop_it_reports_and_is_done(pool, job):
    pool.submit(job(epochs=100_000, until=100_000))
    until(pool, "epoch")
    pool.stop()
    found = until(pool, "trial")
    assert all(not message["ended"] for message in found if message["event"] == "trial")


def test_no_worker_outlives_its_driver(pool):
    """A driver that is killed closes its end of the pipe: so does this."""
    worker = pool._workers[0]
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(timeout=30) == 0


def test_ctrl_c_is_the_drivers_business(pool, job):
    pool.submit(job(epochs=100_000, until=100_000))
    until(pool, "epoch")
    os.kill(pids(pool)[0], signal.SIGINT)
    until(pool, "epoch")
    assert pool._workers[0].process.poll() is None
