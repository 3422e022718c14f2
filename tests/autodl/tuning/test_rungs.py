from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.records import Component, TrialConfig, TrialRecord
from autodl.tuning.rungs import next_rung, promotable, rung_epochs

NOTHING = TrialConfig({}, {}, Component("l"), Component("o"), {}, 9, 0)
LEVELS = (1, 3, 9)


def record(number, state="paused", **rungs):
    levels = {int(name[1:]): score for name, score in rungs.items()}
    return TrialRecord(number, state, NOTHING, score=min(levels.values(), default=None), rungs=levels)


@given(st.integers(1, 10_000))
def test_rungs_rise_to_the_whole_training(epochs):
    levels = rung_epochs(epochs)
    assert levels[-1] == epochs
    assert levels[0] >= 1
    assert list(levels) == sorted(set(levels))
    assert all(3 * low >= high for low, high in pairwise(levels))


def test_the_next_rung_lies_after_the_epoch():
    assert [next_rung(epoch, LEVELS) for epoch in (0, 1, 2, 3, 8)] == [1, 3, 3, 9, 9]


def test_the_best_third_of_those_who_got_there_goes_on():
    waiting = [record(number, r1=float(number)) for number in range(6)]
    assert [each.number for each in promotable(waiting, LEVELS, False)] == [0, 1]
    assert [each.number for each in promotable(waiting, LEVELS, True)] == [5, 4]


def test_two_are_too_few_for_a_third():
    assert promotable([record(0, r1=1.0), record(1, r1=2.0)], LEVELS, False) == []


def test_who_went_on_still_counts_but_is_not_chosen_again():
    trials = [record(0, "complete", r1=0.1, r3=0.1, r9=0.1), *(record(n, r1=float(n)) for n in range(1, 6))]
    assert [each.number for each in promotable(trials, LEVELS, False)] == [1]


def test_the_highest_rung_goes_first():
    low = [record(number, r1=float(number)) for number in range(3)]
    high = [record(number, r1=0.0, r3=float(number)) for number in range(3, 6)]
    assert [each.number for each in promotable(low + high, LEVELS, False)] == [3]


@pytest.mark.parametrize("state", ["running", "failed", "complete", "pruned"])
def test_only_who_waits_can_be_chosen(state):
    assert promotable([record(n, state, r1=float(n)) for n in range(6)], LEVELS, False) == []


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_nobody_worse_goes_before_somebody_better(scores):
    trials = [record(number, r1=score) for number, score in enumerate(scores)]
    chosen = promotable(trials, LEVELS, False)
    assert len(chosen) == len(scores) // 3
    left = [each for each in trials if each not in chosen]
    assert max(each.rungs[1] for each in chosen) <= min(each.rungs[1] for each in left)
