from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.records import Component, TrialConfig, TrialRecord
from autodl.tuning.rungs import by_fronts, levels_of, next_rung, promotable, rung_epochs

NOTHING = TrialConfig({}, {}, Component("l"), Component("o"), {}, 9, 0)
LEVELS = (1, 3, 9)
RUNGS = 3


def record(number, state="paused", cost=None, config=NOTHING, **rungs):
    levels = {int(name[1:]): score for name, score in rungs.items()}
    return TrialRecord(number, state, config, score=min(levels.values(), default=None), rungs=levels, cost=cost)


def reads(*inputs, epochs=9):
    return replace(NOTHING, encoders={name: Component("e") for name in inputs}, epochs=epochs)


def test_a_short_training_goes_through():
    assert levels_of(NOTHING, RUNGS) == LEVELS
    assert levels_of(replace(NOTHING, training={"length": 1.0}), RUNGS) == LEVELS
    assert levels_of(replace(NOTHING, training={"length": 0.1}), RUNGS) == (9,)
    both = [
        record(0, config=replace(reads("a"), training={"length": 0.1}), r9=0.1),
        *(record(n, r1=9.0) for n in (1, 2, 3)),
    ]
    assert [each.number for each in promotable(both, RUNGS, False)] == [1]


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
    assert [each.number for each in promotable(waiting, RUNGS, False)] == [0, 1]
    assert [each.number for each in promotable(waiting, RUNGS, True)] == [5, 4]


def test_two_are_too_few_for_a_third():
    assert promotable([record(0, r1=1.0), record(1, r1=2.0)], RUNGS, False) == []


def test_who_went_on_still_counts_but_is_not_chosen_again():
    trials = [record(0, "complete", r1=0.1, r3=0.1, r9=0.1), *(record(n, r1=float(n)) for n in range(1, 6))]
    assert [each.number for each in promotable(trials, RUNGS, False)] == [1]


def test_the_highest_rung_goes_first():
    low = [record(number, r1=float(number)) for number in range(3)]
    high = [record(number, r1=0.0, r3=float(number)) for number in range(3, 6)]
    assert [each.number for each in promotable(low + high, RUNGS, False)] == [3]


def test_who_reads_one_input_of_several_competes_with_such_alone_and_the_best_always_goes_on():
    both = [record(number, config=reads("a", "b"), r1=float(number)) for number in range(3)]
    alone = [record(number, config=reads("a"), r1=10.0 + number) for number in (3, 4)]
    assert [each.number for each in promotable([*both, *alone], RUNGS, False)] == [0]
    gone = [replace(both[0], state="complete"), *both[1:]]
    assert [each.number for each in promotable([*gone, *alone], RUNGS, False)] == [3]


def test_trainings_of_other_lengths_meet_at_the_same_share_of_theirs():
    short = [record(number, config=reads("a", "b"), r3=float(number)) for number in (1, 2)]
    long = record(0, config=reads("a", "b", epochs=27), r9=0.5)
    assert [each.number for each in promotable([*short, long], RUNGS, False)] == [0]


@pytest.mark.parametrize("state", ["running", "failed", "complete", "pruned"])
def test_only_who_waits_can_be_chosen(state):
    assert promotable([record(n, state, r1=float(n)) for n in range(6)], RUNGS, False) == []


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_nobody_worse_goes_before_somebody_better(scores):
    trials = [record(number, r1=score) for number, score in enumerate(scores)]
    chosen = promotable(trials, RUNGS, False)
    assert len(chosen) == len(scores) // 3
    left = [each for each in trials if each not in chosen]
    assert max(each.rungs[1] for each in chosen) <= min(each.rungs[1] for each in left)


COSTS = st.none() | st.integers(0, 5).map(float)
POINTS = st.lists(st.tuples(st.integers(0, 5).map(float), COSTS), max_size=20)


def best_first(points):
    """Trials, lower scores first, of pairs of score and cost."""
    return [record(n, cost=cost, r1=score) for n, (score, cost) in enumerate(sorted(points, key=lambda each: each[0]))]


def beats(one, other):
    """In both objectives."""
    costs = [math.inf if each.cost is None else each.cost for each in (one, other)]
    return one.score < other.score and costs[0] < costs[1]


def fronts(records):
    """The textbook's: peel off who is beaten by nobody, again and again. One front's trials, then the next one's."""
    rest, found = list(records), []
    while rest:
        found.append([each for each in rest if not any(beats(other, each) for other in rest)])
        rest = [each for each in rest if each not in found[-1]]
    return found


@given(POINTS)
def test_fronts_keep_everybody_once(points):
    ordered = by_fronts(best_first(points))
    assert sorted(each.number for each in ordered) == list(range(len(points)))


@given(POINTS)
def test_nobody_comes_before_one_who_beats_him_in_both(points):
    ordered = by_fronts(best_first(points))
    for at, each in enumerate(ordered):
        assert not any(beats(later, each) for later in ordered[at:])


@given(st.lists(st.floats(0, 1), unique=True, max_size=20), st.data())
def test_fronts_are_those_of_the_textbook(scores, data):
    """Scores and costs that are all different: then to be no better in either is to be worse in both."""
    costs = data.draw(st.permutations(range(len(scores))))
    records = best_first(list(zip(scores, map(float, costs), strict=True)))
    assert [each.number for each in by_fronts(records)] == [each.number for front in fronts(records) for each in front]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_where_nothing_costs_anything_scores_alone_decide(scores):
    """As far as the textbook may say so: equal costs beat nobody."""
    records = best_first([(score, None) for score in scores])
    assert [each.number for each in by_fronts(records)] == [each.number for each in records]


def test_with_two_objectives_the_cheap_one_passes_instead_of_the_third_best():
    scores, costs = (1.0, 2.0, 3.0, 4.0, 5.0, 9.0), (5.0, 6.0, 7.0, 8.0, 9.0, 1.0)
    waiting = [record(n, cost=cost, r1=score) for n, (score, cost) in enumerate(zip(scores, costs, strict=True))]
    assert [each.number for each in promotable(waiting, RUNGS, False, two=True)] == [0, 5]
    assert [each.number for each in promotable(waiting, RUNGS, False)] == [0, 1]


def test_at_a_rung_its_own_score_counts_and_not_the_best_so_far():
    """Or who trained longer would push out who waits."""
    longer = [record(0, "complete", cost=1.0, r1=9.0, r3=0.0)]
    waiting = [record(n, cost=2.0, r1=float(n)) for n in range(1, 6)]
    assert [each.number for each in promotable(longer + waiting, RUNGS, False, two=True)] == [1]
