from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from autodl.errors import RunError
from autodl.intervals import bootstrap_interval
from autodl.metrics import fitting
from autodl.predictor import load
from autodl.tuning.budget import Clock
from autodl.tuning.estimator_proposals import baseline
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import PackJob
from autodl.tuning.finish import Ending, failures, finish, members_at_most, no_answer
from autodl.tuning.options import SearchOptions
from autodl.tuning.proposals import Proposal
from autodl.tuning.trials import NO_PACK, Trials

EPOCHS = 12
RATES = (0.01, 0.009, 0.008)


def train(trials, prepared, numbers):
    members = {number: trials.entries[number].record.config for number in numbers}
    keys = prepared.keys(next(iter(members.values())))
    executor = Inline("cpu")
    executor.submit(PackJob(1, str(prepared.run.path), members, keys, 0, EPOCHS, None, "cpu", 1, latency=True))
    for message in executor.poll(1.0):
        if message["event"] == "trial":
            trials.heard(message, (EPOCHS,))


def start_networks(trials, networks):
    wishes = [{"table.encoder": "linear", "optimizer": "adamw", "optimizer.adamw.learning_rate": r} for r in RATES]
    proposals = [Proposal(networks.complete(wish), "random") for wish in wishes]
    return trials.start(proposals, lambda params, seed: networks.config(params, EPOCHS, seed), 0, 0)


def start_estimator(trials, space, name):
    return trials.start([baseline(space, name)], lambda params, seed: space.config(params, 1, seed), NO_PACK, 0)


@pytest.fixture
def trained(trials, space, networks, prepared):
    """Three small networks, and two baselines, trained for real."""
    train(trials, prepared, start_networks(trials, networks))
    for name in ("dummy", "linear_model"):
        train(trials, prepared, start_estimator(trials, space, name))
    prepared.run.write(notes=["a note"])
    assert [record.error for record in trials.records] == [""] * 5
    return trials


@pytest.fixture
def end(trained, prepared, run):
    """What the end needs to know; keywords are options."""

    def build(searched=(), **options):
        return Ending(
            run,
            trained,
            prepared,
            SearchOptions(**options),
            Clock(time.time(), None),
            "finished",
            frozenset(searched),
            0.1,
        )

    return build


@pytest.mark.parametrize("folds", [1, 3])
def test_the_predictor_scores_what_the_summary_says(end, prepared, run, iris, folds):
    summary = finish(end(searched=["linear_model"]))
    predictor = load(run.path)
    dataset = prepared.dataset
    test = iris.iloc[dataset.split.test]
    assert predictor.evaluate(test) == pytest.approx(summary["test"], abs=1e-6)
    if folds == 1:
        validation = iris.iloc[dataset.split.validation]
        assert predictor.evaluate(validation) == pytest.approx(summary["validation"], abs=1e-5)
    assert sum(summary["members"].values()) == pytest.approx(1.0)
    assert predictor.scores == {part: summary[part] for part in ("validation", "test")}
    assert predictor.facts["summary"]["best"] == summary["best"] == run.read()["best"]
    assert predictor.facts["notes"] == ["a note"]
    assert summary["networks"] == folds * sum(int(number) < 3 for number in summary["members"])
    assert set(summary["test"]) == set(summary["validation"]) == set(fitting(dataset.task))
    assert summary["trials"] == {"complete": 5}
    assert summary["columns"] == predictor.columns


@pytest.mark.parametrize("folds", [1, 3])
def test_the_summary_says_how_sure_it_is(end, prepared, run, iris):
    summary = finish(end())
    predictor = load(run.path)
    test = prepared.dataset.split.test
    frame, truth = iris.iloc[test], prepared.dataset.targets[test]
    assert set(summary["test_interval"]) == {"log_loss", "accuracy"}
    told = predictor.predict_proba(frame).to_numpy()
    for name, (low, high) in summary["test_interval"].items():
        assert low <= summary["test"][name] <= high
        metric = fitting(predictor.task)[name]
        assert (low, high) == pytest.approx(bootstrap_interval(metric.function, truth, told, seed=0), abs=1e-6)
    sets = predictor.predict_interval(frame, 0.9)["species set"].str.split("|")
    inside = [label in found for label, found in zip(frame["species"], sets, strict=True)]
    coverage = summary["test_coverage"]
    assert coverage["asked"] == 0.9
    assert coverage["measured"] == pytest.approx(np.mean(inside))
    assert coverage["size"] == pytest.approx(np.mean([len([each for each in found if each]) for found in sets]))


def test_baselines_stand_in_the_board_but_predict_only_where_they_are_searched(end, run):
    summary = finish(end())
    assert set(summary["baselines"]) == {"dummy", "linear_model"}
    assert summary["baselines"]["dummy"] == pytest.approx(np.log(3), abs=0.02)
    assert {int(number) for number in summary["members"]} <= {0, 1, 2}
    board = pd.read_csv(run.path / "leaderboard.csv")
    assert set(board["model"]) == {"linear", "dummy", "linear_model"}
    run.predictor.rename(run.path / "before")
    alone = finish(end(searched=["linear_model"], single=True))
    assert alone["best"]["number"] == 4  # beats three short trainings of networks
    assert set(alone["members"]) == {"4"}
    assert load(run.path).networks == []


@pytest.mark.parametrize("folds", [1, 3])
def test_a_single_one_is_the_best_trial_fitted_on_all_rows(end, run, trained):
    summary = finish(end(single=True))
    networks = [record for record in trained.records if record.config.estimator is None]
    best = min(networks, key=lambda record: record.score)
    assert summary["members"] == {str(best.number): 1.0}
    assert summary["networks"] == 1


@pytest.mark.parametrize("folds", [3])
def test_refitted_each_trial_is_one_network(end, run):
    kept = finish(end())
    run.predictor.rename(run.path / "before")
    again = finish(end(refit=True))
    assert again["members"] == kept["members"]
    assert kept["networks"] == 3 * len(kept["members"])
    assert again["networks"] == len(again["members"])
    assert again["validation"] == kept["validation"]  # of the folds' networks: the new one saw these rows
    assert again["test"] != kept["test"]
    assert again["test"]["accuracy"] > 0.6


@pytest.mark.parametrize("folds", [3])
def test_without_time_to_refit_the_folds_networks_stay(end, run):
    late = end(refit=True)
    late.clock.started, late.clock.seconds = time.time() - 10.0, 9.0
    summary = finish(late)
    assert summary["networks"] == 3 * len(summary["members"])


class TestTwoObjectives:
    @pytest.fixture
    def trials(self, trials):
        return Trials(trials.journal, trials.metric, lambda record, said: said.get("latency"))

    @pytest.fixture
    def costly(self, trained):
        """Networks as good as each other, the last one the cheapest; the baselines cost nothing."""
        for number, cost in ((0, 3.0), (1, 2.0), (2, 1.0), (3, 0.5), (4, 0.1)):
            score = {3: 1.2, 4: 0.9}.get(number, 0.3 + 0.001 * number)
            trained._change(number, cost=cost, score=score)
        return trained

    def test_every_trial_has_its_cost(self, trained):
        assert all(0 < record.cost < 1 for record in trained.records)

    def test_the_cheapest_that_is_as_good_predicts_alone_and_the_front_is_told(self, end, run, costly):
        ending = end()
        assert ending.two
        summary = finish(ending)
        assert len(summary["members"]) == 1
        predictor = load(run.path)
        assert predictor.leaderboard.front == {0, 1, 2, 4}
        board = pd.read_csv(run.path / "leaderboard.csv").set_index("number")
        assert board["front"].to_dict() == {0: True, 1: True, 2: True, 3: False, 4: True}
        assert board["cost"].to_dict() == {0: 3.0, 1: 2.0, 2: 1.0, 3: 0.5, 4: 0.1}

    def test_with_one_objective_there_is_no_front(self, end, run, trained):
        trained.cost = None
        finish(end())
        assert load(run.path).leaderboard.front == frozenset()


def test_without_a_scored_trial_there_is_no_predictor_but_a_leaderboard(trials, networks, prepared, run):
    start_networks(trials, networks)
    for number in range(3):
        trials.fail(number, "ValueError: no")
    ending = Ending(run, trials, prepared, SearchOptions(), Clock(time.time(), None), "finished", frozenset(), 0.0)
    with pytest.raises(RunError, match="all 3 failed: 3 × ValueError: no"):
        finish(ending)
    assert (run.path / "leaderboard.csv").exists()
    assert not run.predictor.exists()
    assert failures(trials.records) == {"ValueError: no": 3}
    assert run.read()["state"] == "failed"


def test_a_search_that_had_no_time_says_so():
    assert "give it more --time" in no_answer([])


def test_slow_networks_make_small_ensembles(prepared):
    specs = {name: spec for name, (_, spec) in prepared.defaults().items()}
    assert members_at_most(specs) > members_at_most({**specs, "photo": SimpleNamespace(shape=(3, 8, 8))}) >= 3
