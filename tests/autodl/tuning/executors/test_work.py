from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autodl import estimating, registry
from autodl.metrics import get_metric
from autodl.network import Network
from autodl.records import Component, TrialConfig
from autodl.tuning import tensors
from autodl.tuning.executors import _work
from autodl.tuning.executors._work import Worker
from autodl.tuning.tensors import TARGETS, read_goals, read_input, write_goals


@pytest.fixture(autouse=True)
def _talkative(monkeypatch):
    """Every epoch is told."""
    monkeypatch.setattr(_work, "TELL_SECONDS", -1.0)


def train(job, stopped=lambda: False):
    messages = []
    Worker(messages.append, stopped).work(job)
    return messages


def of_kind(messages, event):
    return [message for message in messages if message["event"] == event]


def told(messages):
    """Who trained which epochs."""
    return [(message["numbers"], message["epoch"]) for message in of_kind(messages, "epoch")]


def outcome(run, messages):
    """Score and weights of each trial."""
    scores = {message["number"]: message["score"] for message in of_kind(messages, "trial")}
    return {number: (score, load_file(run.trial(number) / "weights.safetensors")) for number, score in scores.items()}


def assert_same_outcome(left, right):
    """To rounding, since a pack of another size multiplies in another order."""
    assert set(left) == set(right)
    for number, (score, weights) in left.items():
        assert score == pytest.approx(right[number][0], rel=1e-5)
        torch.testing.assert_close(weights, right[number][1], rtol=0, atol=1e-5)


def checkpoint(run, number):
    return run.trial(number) / "checkpoint.safetensors"


class TestCheckpoints:
    def killed_in_epoch_four(self, job):
        """Train until the fourth epoch is told, which is before its checkpoint is written."""

        def die(message):
            if message["event"] == "epoch" and message["epoch"] == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Worker(die, lambda: False).work(job)

    def test_a_long_training_goes_on_from_the_last_one(self, job, run, monkeypatch):
        whole = outcome(run, train(job()))
        monkeypatch.setattr(_work, "CHECKPOINT_SECONDS", -1.0)
        self.killed_in_epoch_four(job())
        assert [int(load_file(checkpoint(run, number))["epoch"]) for number in range(3)] == [3, 3, 3]
        messages = train(job())
        assert told(messages) == [([0, 1, 2], epoch) for epoch in (4, 5, 6)]
        assert_same_outcome(outcome(run, messages), whole)

    def test_a_short_training_writes_none_on_its_way(self, job, run):
        self.killed_in_epoch_four(job())
        assert not any(run.trial(number).exists() for number in range(3))

    def test_none_is_left_of_a_trial_that_ended(self, job, run, monkeypatch):
        monkeypatch.setattr(_work, "CHECKPOINT_SECONDS", -1.0)
        train(job())
        assert not any(checkpoint(run, number).exists() for number in range(3))

    @pytest.mark.parametrize("folds", [1, 3])
    def test_who_has_no_checkpoint_begins_in_a_pack_of_its_own(self, job, run):
        """And becomes what it would have become beside the others."""
        whole = outcome(run, train(job()))
        train(job(until=2))
        checkpoint(run, 1).unlink()
        messages = train(job(epoch=2))
        assert told(messages) == [*(([0, 2], epoch) for epoch in range(3, 7)), *(([1], epoch) for epoch in range(1, 7))]
        assert_same_outcome(outcome(run, messages), whole)
        assert len(of_kind(messages, "done")) == 1

    @pytest.mark.parametrize("folds", [1, 3])
    def test_who_began_goes_on_in_one_pack_be_it_from_different_epochs(self, job, run):
        """And becomes what it would have become with the others all along."""
        whole = outcome(run, train(job()))
        made = job(until=2)
        train(made)
        later = replace(made, members={1: made.members[1]}, epoch=2, until=4)
        train(later)
        assert [int(load_file(checkpoint(run, number))["epoch"]) for number in range(3)] == [2, 4, 2]
        messages = train(job(epoch=2))
        assert told(messages) == [([0, 1, 2], 5), ([0, 1, 2], 6), ([0, 2], 5), ([0, 2], 6)]
        assert_same_outcome(outcome(run, messages), whole)

    def test_a_pack_that_is_halved_goes_on_from_its_checkpoints_too(self, job, run, monkeypatch):
        whole = outcome(run, train(job()))
        train(job(until=2))
        real = _work.Training

        def small(configs, *args, **options):
            if len(configs) > 1:
                raise MemoryError
            return real(configs, *args, **options)

        monkeypatch.setattr(_work, "Training", small)
        messages = train(job(epoch=2))
        assert told(messages) == [([number], epoch) for number in range(3) for epoch in range(3, 7)]
        assert_same_outcome(outcome(run, messages), whole)

    def test_who_is_further_already_is_told_as_it_stands(self, job):
        before = train(job(until=4))
        after = train(job(until=2))
        assert told(after) == []
        assert of_kind(after, "trial") == of_kind(before, "trial")

    def test_who_is_stopped_keeps_the_one_it_came_with(self, job, run):
        train(job(until=2))
        before = checkpoint(run, 0).read_bytes()
        train(job(epoch=2), stopped=lambda: True)
        assert checkpoint(run, 0).read_bytes() == before

    def test_an_epoch_that_is_cut_short_leaves_the_last_whole_one(self, job, run, monkeypatch):
        """As it is trained once more from there."""
        train(job(until=2))
        before = load_file(checkpoint(run, 0))
        monkeypatch.setattr(_work, "CHECKPOINT_SECONDS", -1.0)
        steps = iter([False, True])
        train(job(epoch=2), stopped=lambda: next(steps, True))
        after = load_file(checkpoint(run, 0))
        assert (int(after["epoch"]), int(before["epoch"])) == (2, 2)
        assert torch.equal(after["parameters"], before["parameters"])

    def test_a_first_epoch_that_is_cut_short_leaves_none(self, job, run):
        """Though it is judged, so that there is an answer."""
        steps = iter([False, True])
        train(job(until=1), stopped=lambda: next(steps, True))
        assert not checkpoint(run, 0).exists()


class TestMessages:
    def test_they_are_plain_data(self, job):
        messages = train(job())
        assert json.loads(json.dumps(messages)) == messages

    def test_each_epoch_is_told_with_the_best_score_so_far(self, job):
        messages = train(job(epochs=9, until=9))
        assert told(messages) == [([0, 1, 2], epoch) for epoch in range(1, 10)]
        scores = [message["scores"] for message in of_kind(messages, "epoch")]
        assert all(later <= earlier for a, b in pairwise(scores) for earlier, later in zip(a, b, strict=True))
        assert scores[-1] == [message["score"] for message in of_kind(messages, "trial")]

    def test_epochs_are_told_a_few_times_a_second_at_most(self, job, monkeypatch):
        monkeypatch.setattr(_work, "TELL_SECONDS", 1000.0)
        monkeypatch.setattr(_work.time, "monotonic", lambda: 5000.0)
        assert told(train(job())) == [([0, 1, 2], 1)]

    @pytest.mark.parametrize("folds", [1, 3])
    def test_a_trial_is_told_as_its_files_have_it(self, job, run):
        made = job(until=4)
        goals = read_goals(run.data(TARGETS))
        spec, _ = read_input(run.data(made.inputs["table"]))
        score = get_metric("log_loss", goals.task).function
        for message in of_kind(train(made), "trial"):
            network = Network.seeded(made.members[message["number"]], {"table": spec}, goals.task.n_outputs)
            file = run.trial(message["number"]) / "predictions.safetensors"
            predictions = load_file(file)["predictions"].double().numpy()
            assert message["score"] == score(goals.judged_targets, predictions)
            assert message["n_parameters"] == sum(parameter.numel() for parameter in network.parameters())
            assert (message["epoch"], message["ended"], message["error"]) == (4, False, "")
            assert 1 <= message["best_epoch"] <= 4
            assert 0 < message["seconds"] < 60

    @pytest.mark.parametrize("folds", [1, 3])
    def test_each_row_is_predicted_by_the_network_that_was_not_fitted_on_it(self, job, run, folds):
        made = job(count=1)
        train(made)
        goals = read_goals(run.data(TARGETS))
        spec, stored = read_input(run.data(made.inputs["table"]))
        weights = load_file(run.trial(0) / "weights.safetensors")
        assert {len(tensor) for tensor in weights.values()} == {folds}
        found = load_file(run.trial(0) / "predictions.safetensors")["predictions"]
        assert len(found) == len(goals.judged)
        for fold, (_, held) in enumerate(goals.folds):
            network = Network.seeded(made.members[0], {"table": spec}, goals.task.n_outputs).eval()
            network.load_state_dict({name: tensor[fold] for name, tensor in weights.items()})
            with torch.no_grad():
                own = network({"table": stored.values[torch.as_tensor(held)]}).softmax(1)
            torch.testing.assert_close(found[np.searchsorted(goals.judged, held)], own, rtol=1e-4, atol=1e-5)

    def test_latency_is_told_where_the_job_asks(self, job):
        assert all("latency" not in message for message in of_kind(train(job()), "trial"))
        for message in of_kind(train(job(latency=True)), "trial"):
            assert 0 < message["latency"] < 1

    def test_the_configuration_that_is_kept_trains_the_trial_again(self, job, run):
        made = job()
        train(made)
        kept = TrialConfig.from_json(json.loads((run.trial(2) / "config.json").read_text()))
        assert kept == made.members[2]

    def test_the_last_word_is_that_the_job_is_done(self, job):
        messages = train(job(id=7))
        assert messages[-1] == {"event": "done", "job": 7}
        assert len(of_kind(messages, "done")) == 1

    def test_who_breaks_leaves_the_pack_with_a_reason_and_no_weights(self, job, run):
        made = job()
        broken = replace(made.members[1], optimizer=Component("adamw", {"learning_rate": 1e38}))
        messages = train(replace(made, members={**made.members, 1: broken}))
        trials = {message["number"]: message for message in of_kind(messages, "trial")}
        assert trials[1]["error"].startswith("weights became infinite or not a number in epoch 1 (optimizer adamw")
        assert trials[1]["ended"]
        assert trials[1]["score"] is None
        assert [path.name for path in run.trial(1).iterdir()] == ["config.json"]
        assert told(messages)[1:] == [([0, 2], epoch) for epoch in range(2, 7)]
        assert all(trials[number]["error"] == "" for number in (0, 2))

    def test_past_the_deadline_there_is_an_answer_still(self, job):
        """Of a part of the first epoch, since without any there is nothing to answer with."""
        messages = train(job(deadline=time.time() - 1))
        assert all(message["score"] is not None and not message["ended"] for message in of_kind(messages, "trial"))
        assert told(messages) == [([0, 1, 2], 0)]

    def test_a_deadline_to_come_stops_nobody(self, job):
        assert all(message["ended"] for message in of_kind(train(job(deadline=time.time() + 600)), "trial"))


class TestJoining:
    """Trials that come while a pack trains."""

    def joined(self, job, arrivals, room=3):
        """Train with those who arrive, one list each time that somebody is asked for."""
        messages, waiting = [], iter(arrivals)
        Worker(messages.append, lambda: False, lambda number: next(waiting, [])).work(replace(job, room=room))
        return messages

    @pytest.mark.parametrize("folds", [1, 3])
    def test_who_joins_becomes_what_it_would_have_become_alone(self, job, run):
        made = job()
        whole = outcome(run, train(made))
        late = made.members[2]
        messages = self.joined(replace(made, members={0: made.members[0], 1: made.members[1]}), [[(2, late, 4)]])
        assert told(messages)[:2] == [([0, 1], 1), ([0, 1, 2], 2)]
        trials = {message["number"]: message for message in of_kind(messages, "trial")}
        assert {number: trials[number]["epoch"] for number in trials} == {0: 6, 1: 6, 2: 4}
        assert (trials[2]["ended"], checkpoint(run, 2).exists()) == (False, True)
        train(replace(made, members={2: late}, epoch=4))
        after = {number: (trials[number]["score"], None) for number in (0, 1)}
        for number, (score, _) in after.items():
            assert score == pytest.approx(whole[number][0], rel=1e-5)
        weights = load_file(run.trial(2) / "weights.safetensors")
        torch.testing.assert_close(weights, whole[2][1], rtol=0, atol=1e-5)

    def test_somebody_is_asked_for_once_where_there_is_room(self, job):
        messages = self.joined(job(count=2), [])
        assert of_kind(messages, "free") == [{"event": "free", "job": 1, "slots": 1}]
        assert messages[-1]["event"] == "done"

    def test_in_a_full_pack_or_where_nobody_can_come_nobody_is(self, job):
        assert of_kind(self.joined(job(count=3), []), "free") == []
        assert of_kind(train(replace(job(count=2), room=3)), "free") == []

    def test_each_is_told_as_soon_as_it_leaves(self, job):
        """So that the driver can decide while others train on."""
        made = job()
        first = {0: made.members[0], 1: made.members[1]}
        messages = self.joined(replace(made, members=first), [[(2, made.members[2], 1)]])
        leaving = next(at for at, m in enumerate(messages) if m["event"] == "trial")
        assert messages[leaving]["number"] == 2
        assert any(message["event"] == "epoch" for message in messages[leaving:])


@pytest.mark.parametrize("folds", [1, 3])
def test_weights_of_rows_reach_training(job, run):
    """Rows that count nothing are as good as not there: of a class without weight nothing is learnt."""
    goals = read_goals(run.data(TARGETS))
    made = job(epochs=30, until=30)
    train(made)
    share = load_file(run.trial(0) / "predictions.safetensors")["predictions"].mean(0)
    assert share.min() > 0.25
    weights = np.where(goals.targets == 1, 0.0, 1.0)
    write_goals(run.data(TARGETS), replace(goals, weights=weights))
    train(made)
    weighted = load_file(run.trial(0) / "predictions.safetensors")["predictions"]
    assert weighted[:, 1].mean() < 0.7 * share[1]


class TestEstimators:
    @pytest.fixture(autouse=True, params=[1, 3], ids=["held out", "folds"])
    def folds(self, request):
        return request.param

    def test_it_is_told_and_leaves_its_files_as_a_network_does(self, estimator_job, run, folds):
        made = estimator_job("linear_model", penalty=0.5)
        messages = train(made)
        (message,) = of_kind(messages, "trial")
        assert json.loads(json.dumps(message)) == message
        assert messages[-1] == {"event": "done", "job": 1}
        assert (message["ended"], message["epoch"], message["best_epoch"], message["error"]) == (True, 1, 1, "")
        assert message["n_parameters"] == 0
        assert message["seconds"] > 0
        assert 0 < message["latency"] < 1
        goals = read_goals(run.data(TARGETS))
        predictions = load_file(run.trial(0) / "predictions.safetensors")["predictions"].numpy()
        assert message["score"] == get_metric("log_loss", goals.task).function(goals.judged_targets, predictions)
        assert 0 < message["score"] < 0.5
        kept = TrialConfig.from_json(json.loads((run.trial(0) / "config.json").read_text()))
        assert kept == made.members[0]
        learnt = load_file(run.trial(0) / "weights.safetensors")["learnt"].numpy().tobytes()
        assert len(estimating.load(learnt, kept, goals.task)) == folds

    def test_each_row_is_predicted_by_what_was_not_fitted_on_it(self, estimator_job, run):
        made = estimator_job("k_neighbors", neighbors=1)
        train(made)
        goals = read_goals(run.data(TARGETS))
        _, stored = read_input(run.data(made.inputs["table"]))
        learnt = load_file(run.trial(0) / "weights.safetensors")["learnt"].numpy().tobytes()
        parts = estimating.load(learnt, made.members[0], goals.task)
        found = load_file(run.trial(0) / "predictions.safetensors")["predictions"].numpy()
        for part, (_, held) in zip(parts, goals.folds, strict=True):
            own = estimating.predict([part], made.members[0], goals.task, stored.values.numpy()[held])
            np.testing.assert_allclose(found[np.searchsorted(goals.judged, held)], own, rtol=1e-6)

    def test_several_are_fitted_one_after_another(self, estimator_job, run):
        messages = of_kind(train(estimator_job("dummy", "linear_model", "k_neighbors")), "trial")
        assert [message["number"] for message in messages] == [0, 1, 2]
        assert messages[0]["score"] == pytest.approx(np.log(3), abs=0.02)
        assert messages[1]["score"] < messages[0]["score"]

    @pytest.mark.parametrize("how", ["asked", "deadline"])
    def test_without_time_for_all_folds_it_has_no_score_and_may_begin_again(self, estimator_job, run, how):
        made = estimator_job("linear_model", deadline=time.time() - 1 if how == "deadline" else None)
        (message,) = of_kind(train(made, stopped=lambda: how == "asked"), "trial")
        assert (message["score"], message["ended"], message["epoch"], message["error"]) == (None, False, 0, "")
        assert not run.trial(0).exists()

    def test_one_that_fails_is_a_failed_trial_with_its_reason_and_harms_no_other(self, estimator_job, run, monkeypatch):
        def broken(*arguments, **settings):
            raise ValueError("nothing is\nliked")

        monkeypatch.setattr(registry.estimators.load("linear_model"), "fit", broken)
        found = of_kind(train(estimator_job("linear_model", "dummy")), "trial")
        assert [message["error"] for message in found] == ["ValueError: nothing is", ""]
        assert (found[0]["ended"], found[0]["score"]) == (True, None)
        assert "Traceback" in (run.trial(0) / "error.txt").read_text()
        assert found[1]["score"] > 0

    def test_predictions_that_no_metric_judges_are_a_failure(self, estimator_job, run, monkeypatch):
        def nowhere(self, x):
            return np.full((len(x), 3), np.nan)

        monkeypatch.setattr(registry.estimators.load("dummy"), "predict", nowhere)
        (message,) = of_kind(train(estimator_job("dummy")), "trial")
        assert message["error"]
        assert message["score"] is None
        assert not (run.trial(0) / "weights.safetensors").exists()

    def test_weights_of_rows_count(self, estimator_job, run):
        goals = read_goals(run.data(TARGETS))
        write_goals(run.data(TARGETS), replace(goals, weights=np.where(goals.targets == 1, 0.0, 1.0)))
        train(estimator_job("dummy"))
        predictions = load_file(run.trial(0) / "predictions.safetensors")["predictions"]
        assert (predictions[:, 1] == 0).all()


class TestRows:
    @pytest.fixture
    def reads(self, monkeypatch):
        """The files of rows that were read, one after another."""
        found = []
        real = tensors.read_input
        monkeypatch.setattr(tensors, "read_input", lambda path: found.append(path.stem) or real(path))
        return found

    def test_one_set_is_kept_from_job_to_job(self, job, prepared, reads):
        usual = job(epochs=1, until=1)
        config = next(iter(usual.members.values())).modalities["table"]
        scaling = {"standard": "robust"}.get(config.settings["scaling"], "standard")
        key = prepared.ensure("table", Component("tabular", {**config.settings, "scaling": scaling}))
        other = replace(usual, inputs={"table": key})
        messages = []
        worker = Worker(messages.append, lambda: False)
        scores = []
        for each in (usual, usual, other, other, usual):
            messages.clear()
            worker.work(each)
            scores.append([message["score"] for message in of_kind(messages, "trial")])
        assert reads == [usual.inputs["table"], key, usual.inputs["table"]]
        assert scores[0] == scores[1] == scores[4] != scores[2] == scores[3]


@pytest.mark.parametrize("bf16", [True, False])
def test_the_job_says_whether_bfloat16_is_used(job, monkeypatch, bf16):
    seen = []
    real = _work.Training

    def spy(*args, bf16):
        seen.append(bf16)
        return real(*args, bf16=bf16)

    monkeypatch.setattr(_work, "Training", spy)
    train(job(epochs=1, until=1, bf16=bf16))
    assert seen == [bf16]
