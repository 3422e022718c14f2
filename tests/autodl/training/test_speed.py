from __future__ import annotations

import json

import pytest
import torch

from autodl.training import speed
from autodl.training.speed import Timing, fastest

CPU = torch.device("cpu")


@pytest.fixture
def timed(monkeypatch):
    """Let packs take what a table says, in seconds a member and step by (members, bf16); count what was asked."""

    def use(table, bf16=False):
        asked = []

        def time(training):
            key = (len(training.pack), training.bf16)
            asked.append(key)
            if isinstance(table[key], Exception):
                raise table[key]
            return Timing(*key, table[key])

        monkeypatch.setattr(speed, "_time", time)
        monkeypatch.setattr(speed, "bf16_pays", lambda kind: bf16)
        return asked

    return use


def test_real_steps_are_timed_and_written_down(problem, config):
    found = fastest(config(), problem(torch.float32), CPU, sizes=(1, 4), seconds=60)
    assert found.pack_size in (1, 4)
    assert {timing.members for timing in found.table} == {1, 4}
    assert all(timing.seconds_per_member_step > 0 for timing in found.table)
    chosen = Timing(found.pack_size, found.bf16, found.seconds_per_member_step)
    assert chosen in found.table
    assert json.loads(json.dumps(found.to_json()))["pack_size"] == found.pack_size


def test_small_networks_train_faster_together(problem, config):
    """A step of eight tiny networks costs far less than eight steps."""

    def seconds(members):
        training = speed.Training([config(seed) for seed in range(members)], problem(), CPU)
        return min(speed._time(training).seconds_per_member_step for _ in range(3))

    assert seconds(8) < seconds(1)


def test_members_count_folds(problem, config, timed):
    """Packs are grown by whole trials."""
    asked = timed({(5, False): 3.0, (15, False): 2.0, (60, False): 1.0})
    found = fastest(config(), problem(torch.float32, folds=5), CPU, sizes=(1, 4, 16, 64), seconds=60)
    assert asked == [(5, False), (15, False), (60, False)]
    assert found.pack_size == 60


def test_the_smallest_pack_that_none_beats_clearly_is_taken(problem, config, timed):
    timed({(1, False): 1.0, (2, False): 0.5, (3, False): 0.49})
    assert fastest(config(), problem(torch.float32), CPU, sizes=(1, 2, 3), seconds=60).pack_size == 2


def test_larger_packs_are_not_tried_once_two_brought_nothing(problem, config, timed):
    asked = timed(dict.fromkeys([(1, False), (2, False), (3, False), (4, False)], 1.0))
    fastest(config(), problem(torch.float32), CPU, sizes=(1, 2, 3, 4), seconds=60)
    assert [members for members, _ in asked] == [1, 2, 3]


@pytest.mark.parametrize(("half", "expected"), [(0.95, False), (0.5, True)])
def test_bfloat16_must_be_clearly_faster(problem, config, timed, half, expected):
    timed({(1, False): 1.0, (1, True): half}, bf16=True)
    found = fastest(config(width=128), problem(torch.float32), CPU, sizes=(1,))
    assert found.bf16 is expected
    assert len(found.table) == 2


def test_what_does_not_fit_into_memory_is_not_taken(problem, config, timed):
    timed({(1, False): 1.0, (2, False): torch.OutOfMemoryError("out of memory")})
    assert fastest(config(), problem(torch.float32), CPU, sizes=(1, 2, 3), seconds=60).pack_size == 1


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), ValueError("a broken encoder")])
def test_other_failures_are_told(problem, config, timed, error):
    timed({(1, False): error})
    with pytest.raises(type(error)):
        fastest(config(), problem(torch.float32), CPU, sizes=(1, 2))


def test_time_is_kept(problem, config, timed):
    asked = timed({(1, False): 1.0})
    fastest(config(), problem(torch.float32), CPU, sizes=(1, 2, 3), seconds=0)
    assert asked == [(1, False)]


def test_random_numbers_of_others_stay_as_they_were(problem, config):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fastest(config(), problem(torch.float32), CPU, sizes=(1,))
    assert torch.equal(torch.get_rng_state(), before)
