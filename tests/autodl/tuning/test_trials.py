from __future__ import annotations

import pytest

from autodl.tuning.estimator_proposals import EstimatorProposer, baseline
from autodl.tuning.journal import Journal, read_journal
from autodl.tuning.proposals import Proposer
from autodl.tuning.trials import BASELINE, NO_PACK, Trials


def message(number, score, epoch, ended=False, error="", **more):
    facts = {"score": score, "epoch": epoch, "best_epoch": epoch, "n_parameters": 10, "seconds": 0.5, "error": error}
    return {"event": "trial", "number": number, "ended": ended, **facts, **more}


def started(trials, space, count=3):
    proposals = Proposer(space.networks, False, 0).pack(count, [])
    return trials.start(proposals, lambda params, seed: space.config(params, 9, seed), trials.packs, seed=5)


def start_estimators(trials, space, *proposals):
    return trials.start(proposals, lambda params, seed: space.config(params, 1, seed), NO_PACK, seed=5)


def restored(trials, space, run):
    """What another session makes of the journal."""
    journal = Journal(run.journal)
    again = Trials(journal, trials.metric, trials.cost)
    again.restore(read_journal(run.journal), space)
    journal.close()
    return again


def test_every_trial_has_a_seed_of_its_own(trials, space):
    numbers = started(trials, space)
    assert numbers == [0, 1, 2]
    assert len({record.config.seed for record in trials.records}) == 3


def test_what_a_worker_says_becomes_the_record(trials, space):
    started(trials, space)
    trials.heard(message(0, 0.5, 3), (1, 3, 9))
    trials.heard(message(1, 0.3, 9, ended=True), (1, 3, 9))
    trials.heard(message(2, None, 0, ended=True, error="ValueError: no"), (1, 3, 9))
    paused, complete, failed = trials.records
    assert (paused.state, dict(paused.rungs)) == ("paused", {1: 0.5, 3: 0.5})
    assert (complete.state, complete.score) == ("complete", 0.3)
    assert (failed.state, failed.error) == ("failed", "ValueError: no")
    assert trials.best is not None
    assert trials.best.number == 1


def test_a_rung_that_was_passed_keeps_its_score(trials, space):
    started(trials, space, 1)
    trials.heard(message(0, 0.5, 1), (1, 3, 9))
    trials.heard(message(0, 0.2, 3), (1, 3, 9))
    assert dict(trials.records[0].rungs) == {1: 0.5, 3: 0.2}


def test_the_journal_brings_everything_back(trials, space, run):
    started(trials, space)
    trials.heard(message(0, 0.5, 3), (1, 3, 9))
    trials.fail(1, "its worker died")
    again = restored(trials, space, run)
    assert again.records == trials.records
    assert [entry.params for entry in again.entries.values()] == [entry.params for entry in trials.entries.values()]
    assert again.packs == 1


def test_the_end_prunes_what_waits_but_a_resumed_search_may_go_on(trials, space, run):
    started(trials, space, 1)
    trials.heard(message(0, 0.5, 3), (1, 3, 9))
    trials.prune_the_rest()
    assert trials.records[0].state == "pruned"
    again = restored(trials, space, run)
    assert again.records[0].state == "paused"


def test_estimators_and_baselines_are_told_apart_from_networks(trials, space):
    """Baselines do not count as searched; no estimator takes part in a pack."""
    started(trials, space)
    proposed = EstimatorProposer(space.estimators, False, 0).next([])
    numbers = start_estimators(trials, space, baseline(space, "dummy"), proposed)
    assert numbers == [3, 4]
    assert [each.record.number for each in trials.networks] == [0, 1, 2]
    assert [each.record.number for each in trials.estimators] == [3, 4]
    assert [record.source for record in trials.records[3:]] == [BASELINE, "portfolio"]
    assert [trials.entries[number].pack for number in numbers] == [NO_PACK, NO_PACK]
    assert trials.searched == 4
    assert trials.packs == 1


def test_estimators_come_back_from_the_journal_too(trials, space, run):
    proposed = EstimatorProposer(space.estimators, False, 0).next([])
    start_estimators(trials, space, baseline(space, "dummy"), proposed)
    trials.heard(message(0, 1.1, 1, ended=True), (1, 3, 9))
    again = restored(trials, space, run)
    assert again.records == trials.records
    assert again.searched == trials.searched == 1
    assert again.packs == 0
    assert again.estimators[1].params == proposed.params
    assert [record.state for record in again.records] == ["complete", "running"]


def test_an_estimator_without_its_last_fold_begins_again_in_the_next_session(trials, space, run):
    start_estimators(trials, space, baseline(space, "dummy"))
    trials.heard(message(0, None, 0), (1, 3, 9))
    assert trials.records[0].state == "stopped"
    assert trials.best is None
    assert restored(trials, space, run).records[0].state == "running"


class TestCost:
    """The second objective."""

    @pytest.fixture
    def trials(self, trials):
        trials.cost = lambda record, said: said["latency"] * record.n_parameters
        return trials

    def test_it_is_worked_out_from_the_record_and_what_the_worker_said(self, trials, space, run):
        started(trials, space, 1)
        record = trials.heard(message(0, 0.5, 3, latency=0.25), (1, 3, 9))
        assert record.cost == 2.5
        assert trials.records == [record]
        assert restored(trials, space, run).records[0].cost == 2.5

    def test_it_is_asked_of_the_record_as_it_now_is(self, trials, space):
        seen = []
        trials.cost = lambda record, said: seen.append(record) or 1.0
        started(trials, space, 1)
        trials.heard(message(0, 0.5, 3), (1, 3, 9))
        assert [(each.score, each.epoch, each.n_parameters) for each in seen] == [(0.5, 3, 10)]

    @pytest.mark.parametrize("failing", [{"error": "ValueError: no"}, {"error": ""}], ids=["failed", "stopped"])
    def test_a_trial_without_a_score_has_none(self, trials, space, failing):
        started(trials, space, 1)
        assert trials.heard(message(0, None, 0, ended=True, **failing), (1, 3, 9)).cost is None


def test_without_a_second_objective_there_is_no_cost(trials, space):
    started(trials, space, 1)
    assert trials.heard(message(0, 0.5, 3, latency=0.25), (1, 3, 9)).cost is None
