from __future__ import annotations

import math

import pytest

from autodl.tuning.estimator_proposals import EstimatorProposer
from autodl.tuning.proposals import Proposer
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.trials import BASELINE, Trials
from autodl.tuning.turns import LEADING_SHARE, NETWORKS_A_TURN, SHARE, Turns

NAMES = ("dummy", "linear_model")


def message(number, seconds, score=0.5, error=""):
    facts = {"epoch": 1, "best_epoch": 1, "n_parameters": 1, "ended": True}
    return {"number": number, "score": None if error else score, "seconds": seconds, "error": error, **facts}


class Play:
    """Turns, and a pretence of what becomes of the trials that they start."""

    def __init__(self, space, trials, *, baselines=(), lockstep=False, estimators=True):
        self.space, self.trials = space, trials
        proposer = EstimatorProposer(space.estimators, False, 0) if estimators else None
        self.turns = Turns(space, trials, proposer, baselines, 0, lockstep=lockstep)

    def take(self, left=math.inf, exhausted=False):
        return self.turns.take(left, exhausted=exhausted)

    def ends(self, numbers, seconds=1.0, score=0.5, error=""):
        for number in numbers:
            self.trials.heard(message(number, seconds, score, error), (1, 3, 9))

    def networks(self, count, seconds=1.0, score=0.5):
        proposals = Proposer(self.space.networks, False, 0).pack(count, [])
        numbers = self.trials.start(proposals, lambda params, seed: self.space.config(params, 9, seed), 0, 0)
        self.ends(numbers, seconds, score)

    @property
    def names(self):
        return [each.record.config.estimator.name for each in self.trials.estimators]

    @property
    def sources(self):
        return [each.record.source for each in self.trials.estimators]


@pytest.fixture
def play(space, trials):
    return lambda **options: Play(space, trials, **options)


def test_baselines_come_first_in_their_order_each_once(play):
    game = play(baselines=NAMES)
    game.networks(1, seconds=1000.0)
    for _ in range(4):
        game.ends(game.take())
    assert game.names[:2] == list(NAMES)
    assert game.sources[:2] == [BASELINE, BASELINE]
    assert BASELINE not in game.sources[2:]
    assert len(game.sources) == 4


def test_there_is_one_at_a_time(play):
    game = play(baselines=NAMES)
    first = game.take()
    assert len(first) == 1
    assert game.take() == []
    game.ends(first)
    assert len(game.take()) == 1


def test_a_failed_baseline_is_not_tried_again(play):
    game = play(baselines=NAMES, estimators=False)
    game.ends(game.take(), error="ValueError: no")
    game.ends(game.take())
    assert game.take() == []
    assert game.names == list(NAMES)


def test_without_a_proposer_there_are_baselines_alone(play):
    game = play(baselines=NAMES, estimators=False)
    game.networks(40, seconds=1000.0)
    for _ in NAMES:
        game.ends(game.take())
    assert game.take() == []


def test_when_no_more_may_be_started_baselines_still_may(play):
    game = play(baselines=NAMES)
    game.networks(1, seconds=1000.0)
    for _ in range(4):
        game.ends(game.take(exhausted=True))
    assert game.sources == [BASELINE, BASELINE]


def test_another_session_repeats_no_baseline(play, space, trials, run):
    from autodl.tuning.journal import Journal, read_journal

    game = play(baselines=NAMES)
    game.ends(game.take())
    journal = Journal(run.journal)
    again = Trials(journal, trials.metric)
    again.restore(read_journal(run.journal), space)
    later = Play(space, again, baselines=NAMES)
    later.networks(1, seconds=1000.0)
    later.ends(later.take())
    later.ends(later.take())
    journal.close()
    assert later.names[:2] == list(NAMES)
    assert later.sources == [BASELINE, BASELINE, "portfolio"]


@pytest.mark.parametrize(("lead", "share"), [(False, SHARE), (True, LEADING_SHARE)], ids=["behind", "leading"])
def test_estimators_get_their_share_of_the_time_and_more_while_one_leads(play, lead, share):
    """One trial lasts a second, be it of networks or estimators: so the share of time is the share of trials."""
    game = play()
    game.networks(1, score=0.5)
    for _ in range(200):
        numbers = game.take()
        if numbers:
            game.ends(numbers, score=0.1 if lead else 0.9)
        else:
            game.networks(1, score=0.5)
    taken = len(game.trials.estimators) / len(game.trials.records)
    assert taken == pytest.approx(share, abs=0.03)


def test_baselines_time_counts_too(play):
    """Slow ones have had the estimators' share already; it grows with what networks train."""
    game = play(baselines=NAMES)
    for _ in NAMES:
        game.ends(game.take(), seconds=10.0, score=0.9)
    game.networks(1, seconds=1.0, score=0.5)
    assert not game.take()
    game.networks(1, seconds=1000.0, score=0.5)
    assert game.take()


def test_none_begins_that_would_hardly_end_in_time(play):
    game = play()
    game.networks(1, seconds=1000.0)
    game.ends(game.take(), seconds=10.0)
    assert game.take(left=14.9) == []
    assert game.take(left=15.1)


def test_in_lockstep_counts_alone_decide(play):
    """Times differ from machine to machine, and equal seeds must give equal searches."""
    game = play(lockstep=True)
    turns = []
    for step in range(3 * NETWORKS_A_TURN):
        game.networks(1, seconds=1e-9 * 10**step)
        numbers = game.take(left=0.001)
        turns.append(len(numbers))
        game.ends(numbers, seconds=1e6)
    assert turns == ([0] * (NETWORKS_A_TURN - 1) + [1]) * 3


class TestAlone:
    """Only estimators are searched."""

    @pytest.fixture
    def play(self, prepared, trials):
        space = SearchSpace.build(prepared.defaults(), prepared.dataset.task, 96, ("extra_trees", "linear_model"))
        return lambda **options: Play(space, trials, **options)

    @pytest.mark.parametrize("lockstep", [False, True])
    def test_it_is_always_their_turn_beside_each_other_too(self, play, lockstep):
        game = play(baselines=NAMES, lockstep=lockstep)
        assert game.turns.alone
        numbers = [game.take(left=0.001) for _ in range(5)]
        assert numbers == [[0], [1], [2], [3], [4]]
        assert game.sources[:2] == [BASELINE, BASELINE]
        assert set(game.names[2:]) <= {"extra_trees", "linear_model"}

    def test_until_no_more_may_be_started(self, play):
        game = play(baselines=("dummy",))
        assert game.take(exhausted=True) == [0]
        assert game.take(exhausted=True) == []


def test_with_networks_it_is_not_alone(play):
    assert not play().turns.alone
