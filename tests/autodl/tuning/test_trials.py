from __future__ import annotations

from autodl.tuning.journal import Journal, read_journal
from autodl.tuning.proposals import Proposer
from autodl.tuning.trials import Trials


def message(number, score, epoch, ended=False, error=""):
    facts = {"score": score, "epoch": epoch, "best_epoch": epoch, "n_parameters": 10, "seconds": 0.5, "error": error}
    return {"event": "trial", "number": number, "ended": ended, **facts}


def started(trials, space, count=3):
    proposer = Proposer(space, False, 0)
    return trials.start(proposer.pack(count, []), space, 0, 9, seed=5)


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
    journal = Journal(run.journal)
    again = Trials(journal, trials.metric)
    again.restore(read_journal(run.journal), space)
    journal.close()
    assert again.records == trials.records
    assert [entry.params for entry in again.entries.values()] == [entry.params for entry in trials.entries.values()]
    assert again.packs == 1


def test_the_end_prunes_what_waits_but_a_resumed_search_may_go_on(trials, space, run):
    started(trials, space, 1)
    trials.heard(message(0, 0.5, 3), (1, 3, 9))
    trials.prune_the_rest()
    assert trials.records[0].state == "pruned"
    journal = Journal(run.journal)
    again = Trials(journal, trials.metric)
    again.restore(read_journal(run.journal), space)
    journal.close()
    assert again.records[0].state == "paused"
