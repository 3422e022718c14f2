from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from autodl import estimating
from autodl.network import Network
from autodl.records import TrialRecord
from autodl.training.data import training_data
from autodl.training.loop import Limits, Training
from autodl.tuning import refitting, tensors
from autodl.tuning.budget import Clock
from autodl.tuning.refitting import Refitter
from autodl.tuning.tensors import TARGETS, read_goals, read_input, write_goals

CPU = torch.device("cpu")
EPOCHS = 8


@pytest.fixture
def config(networks):
    """A recipe whose weights are no average, so that those after an epoch can be told from those after the next."""

    def build(seed=0, **changes):
        wish = {"table.encoder": "mlp", "optimizer": "adamw", "training.ema": 0.0, "training.batch_size": 32, **changes}
        return networks.config(networks.complete(wish), EPOCHS, seed)

    return build


@pytest.fixture
def refitter(prepared):
    def build(seconds=None, goals=None):
        found = goals or read_goals(prepared.run.data(TARGETS))
        return Refitter(prepared.run, prepared, found, Clock(time.time(), seconds), torch.device("cpu"))

    return build


def record(config, best_epoch=5, seconds=1.0):
    return TrialRecord(0, "complete", config, 0.5, EPOCHS, best_epoch, seconds=seconds)


def on_all_rows(prepared, config, epochs, weights=None):
    """An ordinary training on one fold that holds every row, to that epoch."""
    goals = read_goals(prepared.run.data(TARGETS))
    spec, stored = read_input(prepared.run.data(prepared.keys(config)["table"]))
    everyone = np.arange(len(goals.targets))
    data = training_data(
        {"table": stored},
        {"table": spec},
        goals.targets,
        goals.task,
        [(everyone, everyone)],
        device=CPU,
        weights=weights,
    )
    (member,) = Training([config], data, CPU).run(Limits(epochs))
    assert member.epoch == epochs
    return dict(Training([config], data, CPU).pack.state(member.checkpoint["parameters"], slice(0, 1)))


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("best_epoch", [1, 5, EPOCHS])
def test_a_network_is_trained_on_all_rows_to_its_best_epoch(prepared, refitter, config, best_epoch):
    found = refitter().weights(record(config(), best_epoch))
    torch.testing.assert_close(dict(found), on_all_rows(prepared, config(), best_epoch), rtol=0, atol=0)


@pytest.mark.parametrize("folds", [3])
def test_it_is_one_network_that_fits_its_recipe(prepared, refitter, config):
    found = refitter().weights(record(config()))
    assert {len(tensor) for tensor in found.values()} == {1}
    spec, _ = read_input(prepared.run.data(prepared.keys(config())["table"]))
    network = Network.seeded(config(), {"table": spec}, 3)
    network.load_state_dict({name: tensor[0] for name, tensor in found.items()})


def test_averaged_weights_are_what_is_kept(prepared, refitter, config):
    averaged = refitter().weights(record(config(**{"training.ema": 0.97})))
    last = refitter().weights(record(config()))
    assert any(not torch.equal(averaged[name], last[name]) for name in last)


def test_weights_of_rows_count(prepared, refitter, config):
    goals = read_goals(prepared.run.data(TARGETS))
    weights = np.where(goals.targets == 1, 0.0, 1.0)
    write_goals(prepared.run.data(TARGETS), replace(goals, weights=weights))
    found = refitter().weights(record(config(), 3))
    torch.testing.assert_close(dict(found), on_all_rows(prepared, config(), 3, weights), rtol=0, atol=0)


@pytest.mark.parametrize("folds", [3])
def test_an_estimator_is_fitted_once_on_all_rows(prepared, refitter, space):
    config = space.config(space.estimators.complete({"estimator": "k_neighbors"}), 1, 0)
    found = refitter().weights(TrialRecord(0, "complete", config, 0.5, 1, 1, seconds=0.1))
    goals = read_goals(prepared.run.data(TARGETS))
    (learner,) = estimating.load(found["learnt"].numpy().tobytes(), config, goals.task)
    assert len(learner.learnt["x"]) == len(goals.targets)
    np.testing.assert_array_equal(learner.learnt["targets"], goals.targets)


class TestTime:
    @pytest.mark.parametrize("folds", [1, 4])
    def test_one_that_would_take_too_long_is_not_begun(self, refitter, config, folds):
        """What its folds took together, with some slack, is what one network may take, each."""
        assert refitter(seconds=10.0).weights(record(config(), seconds=10.0 * folds)) is None
        assert refitter(seconds=60.0).weights(record(config(), seconds=10.0 * folds)) is not None

    def test_an_estimator_neither(self, refitter, space):
        config = space.config(space.estimators.complete({"estimator": "linear_model"}), 1, 0)
        assert refitter(seconds=10.0).weights(TrialRecord(0, "complete", config, 0.5, 1, 1, seconds=10.0)) is None

    def test_one_that_takes_longer_than_it_should_is_given_up(self, refitter, config, monkeypatch):
        late = refitter(seconds=30.0)
        monkeypatch.setattr(refitting.time, "time", iter([time.time(), *[time.time() + 31.0] * 10_000]).__next__)
        assert late.weights(record(config(), seconds=0.1)) is None

    def test_without_a_budget_there_is_always_time(self, refitter, config):
        assert refitter().weights(record(config(), seconds=1e9)) is not None


def test_rows_are_read_once_for_all_that_read_the_same(refitter, config, monkeypatch):
    reads = []
    real = tensors.read_input
    monkeypatch.setattr(tensors, "read_input", lambda path: reads.append(path) or real(path))
    one = refitter()
    for seed in range(3):
        one.weights(record(config(seed), 1))
    assert len(reads) == 1
