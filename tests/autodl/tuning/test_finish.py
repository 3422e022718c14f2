from __future__ import annotations

import time

import numpy as np
import pytest
from safetensors.torch import load_file

from autodl.errors import RunError
from autodl.predictor import load
from autodl.tuning.budget import Clock
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import PackJob
from autodl.tuning.finish import choose, failures, finish, members_at_most, no_answer, score_all
from autodl.tuning.proposals import Proposer


@pytest.fixture
def trained(trials, space, prepared):
    """Three small trials, trained for real."""
    numbers = trials.start(Proposer(space, False, 0).pack(3, []), space, 0, 4, 0)
    members = {number: trials.entries[number].record.config for number in numbers}
    keys = prepared.keys(members[0])
    executor = Inline("cpu")
    executor.submit(PackJob(1, str(prepared.run.path), members, keys, 0, 4, None, "cpu", 1))
    for message in executor.poll(1.0):
        if message["event"] == "trial":
            trials.heard(message, (4,))
    prepared.run.write(notes=[])
    return trials


def test_the_predictor_scores_what_the_summary_says(trained, prepared, run, iris):
    summary = finish(run, trained, prepared, Clock(time.time(), None), "finished", 0.0)
    predictor = load(run.path)
    test = iris.iloc[prepared.dataset.split.test]
    assert predictor.evaluate(test) == pytest.approx(summary["test"], abs=1e-6)
    validation = iris.iloc[prepared.dataset.split.validation]
    assert predictor.evaluate(validation) == pytest.approx(summary["validation"], abs=1e-5)
    assert sum(summary["members"].values()) == pytest.approx(1.0)
    assert run.read()["best"] == summary["best"]


def test_the_blend_is_of_what_the_members_predicted(trained, run):
    chosen, weights, blend = choose(run, trained.records, trained.metric, 5)
    parts = [load_file(run.trial(r.number) / "predictions.safetensors")["predictions"].numpy() for r in chosen]
    np.testing.assert_allclose(blend, sum(w * p for w, p in zip(weights, parts, strict=True)), atol=1e-12)


def test_without_a_scored_trial_there_is_no_predictor_but_a_leaderboard(trials, space, prepared, run):
    trials.start(Proposer(space, False, 0).pack(2, []), space, 0, 4, 0)
    for number in range(2):
        trials.fail(number, "ValueError: no")
    with pytest.raises(RunError, match="all 2 failed: 2 × ValueError: no"):
        finish(run, trials, prepared, Clock(time.time(), None), "finished", 0.0)
    assert (run.path / "leaderboard.csv").exists()
    assert not run.predictor.exists()
    assert failures(trials.records) == {"ValueError: no": 2}


def test_a_search_that_had_no_time_says_so():
    assert "give it more --time" in no_answer([])


def test_every_metric_of_the_task_is_scored(prepared):
    targets = np.array([0, 1, 2])
    scores = score_all(prepared.dataset.task, targets, np.eye(3))
    assert scores["accuracy"] == 1.0
    assert "rmse" not in scores


def test_slow_networks_make_small_ensembles(prepared):
    specs = {name: spec for name, (_, spec) in prepared.defaults().items()}
    assert members_at_most(specs) > 5
