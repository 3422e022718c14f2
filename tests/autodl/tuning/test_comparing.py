"""Does fusion help: told of small networks that are trained for real on two inputs of which one is noise."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autodl.data.dataset import DataOptions, load_dataset
from autodl.explaining.model import explained_model
from autodl.fitted import has_any
from autodl.metrics import METRICS, get_metric
from autodl.predictor import load
from autodl.records import Component, TrialConfig, TrialRecord
from autodl.tuning.budget import Clock
from autodl.tuning.comparing import Comparison, kind_of, reads_pretrained
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import PackJob
from autodl.tuning.finish import Ending, finish
from autodl.tuning.journal import Journal
from autodl.tuning.options import SearchOptions
from autodl.tuning.prepared import Prepared
from autodl.tuning.proposals import Proposal
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.trials import Trials

EPOCHS = 8
WORDS = {"cat": "a small cat that purrs", "dog": "a large dog that barks"}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A search by hand: the text gives the class away, half of the texts are missing, the numbers are noise."""
    generator = np.random.default_rng(0)
    kinds = generator.choice(["cat", "dog"], 240)
    texts = [f"{WORDS[kind]} number {n}" if n % 2 else None for n, kind in enumerate(kinds)]
    frame = pd.DataFrame({"text": texts, "noise": generator.normal(size=240), "kind": kinds})
    dataset = load_dataset(frame, DataOptions(target="kind", columns={"text": "text"}))
    dataset = replace(dataset, task=replace(dataset.task, metric="log_loss"))
    run = RunFolder.create(str(tmp_path_factory.mktemp("ended") / "run"), "")
    prepared = Prepared(dataset, run, 0)
    prepared.write_targets()
    space = SearchSpace.build(prepared.defaults(), dataset.task, 150).networks
    journal = Journal(run.journal)
    trials = Trials(journal, get_metric("log_loss", dataset.task))
    common = {"table.encoder": "linear", "text.encoder": "text_bag", "optimizer.adamw.learning_rate": 0.02}
    wishes = [
        {**common, "inputs": "all", "fusion": "concat"},
        {**common, "inputs": "all", "fusion": "late"},
        {**common, "inputs": "text"},
        {**common, "inputs": "table"},
    ]
    for wish in wishes:
        proposal = Proposal(space.nearest(wish), "portfolio")
        (number,) = trials.start([proposal], lambda params, seed: space.config(params, EPOCHS, seed), 0, 0)
        config = trials.entries[number].record.config
        executor = Inline("cpu")
        job = PackJob(number + 1, str(run.path), {number: config}, prepared.keys(config), 0, EPOCHS, None, "cpu", 1)
        executor.submit(job)
        for message in executor.poll(1.0):
            if message["event"] == "trial":
                trials.heard(message, (EPOCHS,))
    run.write(notes=[])
    clock = Clock(time.time(), None)
    end = Ending(run, trials, prepared, SearchOptions(seed=0), clock, "finished", frozenset(), 0.0)
    summary = finish(end)
    journal.close()
    return end, summary


@pytest.fixture(scope="module")
def told(ended):
    end, _ = ended
    return load(end.run.path).facts["modalities"]


def test_each_input_alone_late_fusion_the_searched_one_and_the_predictor_stand_side_by_side(ended, told):
    assert told["inputs"] == ["table", "text"]
    assert [each["name"] for each in told["compared"]] == [
        *("table alone", "text alone", "late fusion", "fused"),
        *("table by its head", "text by its head", "predictor"),
    ]
    assert ended[1]["compared"] == told["compared"]
    for each in told["compared"]:
        for part in ("validation", "test"):
            if each["kind"] == "head" and part == "validation":
                assert not each[part]  # what heads say in training is not kept
                continue
            assert list(each[part]) == ["log_loss", "accuracy"]
            value, low, high = each[part]["accuracy"]
            assert low <= value <= high


def test_their_scores_are_those_of_the_trials_themselves(ended, told):
    records = {record.number: record for record in ended[0].trials.records}
    for each in told["compared"][:4]:
        assert each["validation"]["log_loss"][0] == pytest.approx(records[each["trial"]].score, rel=1e-4)


def test_what_gives_the_class_away_gets_the_value(told):
    scores = {each["name"]: each["test"]["accuracy"][0] for each in told["compared"]}
    assert scores["fused"] > scores["table alone"] + 0.1
    assert scores["text by its head"] > scores["table by its head"] + 0.1
    values = told["contributions"]["shapley"]["values"]
    assert values["text"] > 0.15 > abs(values["table"])
    assert told["contributions"]["metric"] == told["metric"] == "accuracy"


def test_the_score_falls_to_the_prior_as_cells_go_missing(ended, told):
    values = [value for value, _, _ in told["missing"]["scores"]]
    assert values[0] > values[-1]
    truth = ended[0].prepared.dataset.targets[ended[0].prepared.dataset.split.test]
    seen = ended[0].prepared.dataset.targets[ended[0].prepared.dataset.split.rows]
    usual = np.bincount(seen).argmax()
    assert told["missing"]["prior"] == pytest.approx((truth == usual).mean())


def record(number, score, fusion=None, encoders=("text",), modality=None, state="complete"):
    parts = {name: Component("text", modality or {}) for name in encoders}
    networks = {name: Component("text_bag") for name in encoders}
    made = fusion and Component(fusion)
    config = TrialConfig(parts, networks, Component("cross_entropy"), Component("adamw"), {}, 1, 0, fusion=made)
    return TrialRecord(number, state, config, score=score)


def test_kinds_of_networks():
    assert kind_of(record(0, 1.0).config) == ("alone", "text")
    assert kind_of(record(0, 1.0, "late", ("a", "b")).config) == ("late", "")
    assert kind_of(record(0, 1.0, "gated", ("a", "b")).config) == ("fused", "")


def test_whether_pretrained_weights_help_is_said_either_way():
    assert reads_pretrained(record(0, 1.0, modality={"tokens": "pretrained"}).config, "text")
    assert not reads_pretrained(record(0, 1.0, modality={"tokens": "words"}).config, "text")

    class One:
        claims = {"text": ("text", ["text"])}  # noqa: RUF012

    def sentences(*scores):
        records = [record(n, s, modality={"tokens": t}) for n, (s, t) in enumerate(scores)]
        return Comparison(None, One, records, None, [METRICS["log_loss"]], 0)._pretrained()

    assert "help:" in sentences((0.1, "pretrained"), (0.2, "words"))[0]
    assert "do not help:" in sentences((0.3, "pretrained"), (0.2, "words"))[0]
    assert sentences((0.3, "pretrained")) == []


@pytest.fixture(scope="module")
def predictor(ended):
    return load(ended[0].run.path)


ROWS = pd.DataFrame(
    {
        "text": ["a small cat that purrs", None, "a large dog that barks", None],
        "noise": [0.3, 0.3, np.nan, np.nan],
    }
)


def test_any_cell_may_be_missing_and_a_row_of_nothing_gets_the_prior(ended, predictor):
    told = predictor.predict_proba(ROWS).to_numpy()
    assert np.isfinite(told).all()
    np.testing.assert_allclose(told.sum(1), 1)
    dataset = ended[0].prepared.dataset
    counts = np.bincount(dataset.targets[dataset.split.rows])
    np.testing.assert_allclose(told[3], counts / counts.sum())
    assert told[0].argmax() != told[2].argmax()


def test_members_that_read_nothing_of_a_row_have_no_vote(predictor):
    ensemble = predictor.subject.ensemble
    views, _ = ensemble.views(predictor.evidence.frame.iloc[:4])
    for member in ensemble.members:
        gone = {key: x.clone() for key, x in views.items()}
        for key in member.keys.values():
            gone[key][0] = float("nan")
        assert has_any(member, gone).tolist() == [False, True, True, True]
        assert np.isnan(ensemble.mean([member], gone)[0]).all()
        others = [each for each in ensemble.members if not set(each.keys.values()) & set(member.keys.values())]
        if others:
            np.testing.assert_allclose(
                ensemble.mean([member, *others], gone)[0], ensemble.mean(others, views)[0], rtol=1e-6
            )


def test_what_is_explained_is_what_is_predicted_whatever_is_missing(predictor):
    frame = predictor.evidence.frame.iloc[:4].copy()
    frame.loc[0, "text"] = None
    frame.loc[1, "noise"] = np.nan
    frame.loc[2, ["text", "noise"]] = None
    subject = predictor.subject
    model = explained_model(subject.ensemble, subject.calibration, "probability")
    views, _ = subject.ensemble.views(frame)
    np.testing.assert_allclose(model(views).detach().numpy(), predictor.predict_frame(frame), atol=1e-6)
