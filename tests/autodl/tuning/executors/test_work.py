from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from autodl.encoders.mlp import Mlp
from autodl.metrics import get_metric
from autodl.network import Network
from autodl.records import Component, TrialConfig
from autodl.tuning.executors import _work
from autodl.tuning.executors._work import Worker
from autodl.tuning.tensors import TARGETS, read_input, read_targets


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

    def test_members_at_different_epochs_are_trained_in_packs_of_their_own(self, job, run):
        """And become what they would have become together."""
        whole = outcome(run, train(job()))
        train(job(until=2))
        checkpoint(run, 1).unlink()
        messages = train(job(epoch=2))
        assert told(messages) == [*(([1], epoch) for epoch in range(1, 7)), *(([0, 2], epoch) for epoch in range(3, 7))]
        assert_same_outcome(outcome(run, messages), whole)
        assert len(of_kind(messages, "done")) == 1

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

    def test_a_trial_is_told_as_its_files_have_it(self, job, run):
        made = job(until=4)
        targets, task, n_train = read_targets(run.data(TARGETS))
        spec, _ = read_input(run.data(made.inputs["table"]))
        score = get_metric("log_loss", task).function
        for message in of_kind(train(made), "trial"):
            network = Network.seeded(made.members[message["number"]], {"table": spec}, task.n_outputs)
            file = run.trial(message["number"]) / "predictions.safetensors"
            predictions = load_file(file)["predictions"].double().numpy()
            assert message["score"] == score(targets[n_train:], predictions)
            assert message["n_parameters"] == sum(parameter.numel() for parameter in network.parameters())
            assert (message["epoch"], message["ended"], message["error"]) == (4, False, "")
            assert 1 <= message["best_epoch"] <= 4
            assert 0 < message["seconds"] < 60

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


class TestRows:
    @pytest.fixture
    def reads(self, monkeypatch):
        """The files of rows that were read, one after another."""
        found = []
        real = _work.read_input
        monkeypatch.setattr(_work, "read_input", lambda path: found.append(path.stem) or real(path))
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


@pytest.mark.parametrize(
    ("convolves", "bf16", "expected"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_bfloat16_is_for_convolutions_where_the_job_says_so(job, monkeypatch, convolves, bf16, expected):
    seen = []
    real = _work.Training

    def spy(*args, bf16):
        seen.append(bf16)
        return real(*args, bf16=bf16)

    monkeypatch.setattr(_work, "Training", spy)
    monkeypatch.setattr(Mlp, "convolutional", convolves)
    train(job(epochs=1, until=1, bf16=bf16))
    assert seen == [expected]
