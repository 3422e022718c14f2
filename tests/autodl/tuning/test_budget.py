from __future__ import annotations

import math
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.records import Component, InputSpec, TrialConfig
from autodl.tuning.budget import Clock, cores, epoch_seconds, full_epochs, lengths, pack_size

TABLE = {"table": SimpleNamespace(shape=(20,))}
IMAGES = {"image": SimpleNamespace(shape=(1, 28, 28))}


def test_a_clock_without_a_budget_never_ends():
    clock = Clock(time.time(), None)
    assert clock.deadline is None
    assert clock.left() == math.inf
    assert clock.share_left() == 1.0


def test_training_ends_before_the_budget_does():
    clock = Clock(time.time(), 60.0, reserve=5.0)
    assert clock.deadline is not None
    assert clock.training_deadline == clock.deadline - 5.0
    assert 54 < clock.left() <= 55
    assert 0.9 < clock.share_left() <= 55 / 60


def test_a_clock_that_has_run_out():
    clock = Clock(time.time() - 100, 60.0)
    assert clock.left() < 0
    assert clock.share_left() == 0.0


@given(st.integers(10, 1_000_000), st.sampled_from([32, 128, 512]), st.none() | st.floats(5, 10_000))
def test_a_training_has_at_least_an_epoch_and_more_time_is_never_fewer(rows, batch, seconds):
    for specs in (TABLE, IMAGES):
        epochs = full_epochs(specs, rows, batch, seconds)
        assert epochs >= 1
        assert epochs <= full_epochs(specs, rows, batch, None) <= 120
        if seconds is not None:
            assert epochs <= full_epochs(specs, rows, batch, 2 * seconds)


def test_small_tables_train_long_and_large_images_short():
    assert full_epochs(TABLE, 400, 32, 60) == 120
    assert full_epochs(IMAGES, 48_000, 512, 600) <= 32


@pytest.mark.parametrize(("seconds", "size"), [(None, 8), (1e9, 8), (1e-9, 1)])
def test_a_pack_is_as_large_as_time_bears(seconds, size):
    assert pack_size(epoch_seconds(TABLE, 10_000, 256), 27, seconds, 8) == size


def test_there_is_a_core():
    assert cores() >= 1


class TestLengths:
    def config(self, *inputs, length=1.0, estimator=None):
        parts = {name: Component({"a": "mlp", "b": "cnn"}[name]) for name in inputs}
        training = {"length": length}
        none = Component("")
        return TrialConfig({}, parts, none, none, training, epochs=1, seed=0, estimator=estimator)

    @pytest.fixture
    def specs(self):
        def spec(*shape):
            return InputSpec(shape, ("x",), torch.zeros(shape, dtype=torch.int64), torch.zeros(shape))

        return {"a": spec(10), "b": spec(3, 64, 64)}

    def test_what_costs_less_trains_longer_and_nothing_beyond_what_it_would_without_a_budget(self, specs):
        length = lengths(20, self.config("a", "b"), specs, 400, 32)
        assert length(self.config("a", "b")) == 20
        assert 20 <= length(self.config("b")) <= 22
        assert length(self.config("a")) == full_epochs(specs, 400, 32, None) > 20

    def test_a_share_is_one_of_the_epochs_without_a_budget(self, specs):
        most = full_epochs(specs, 400, 32, None)
        length = lengths(20, None, specs, 400, 32)
        assert length(self.config("a")) == length(self.config("a", "b")) == 20
        assert length(self.config("a", length=0.1)) == round(0.1 * most) < 20
        assert length(self.config("a", length=0.3)) == min(20, round(0.3 * most))
        assert length(self.config("a", length=2.0)) == 40

    def test_an_estimator_has_its_one(self, specs):
        assert lengths(20, None, specs, 400, 32)(self.config(estimator=Component("dummy"))) == 1
