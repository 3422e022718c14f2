from __future__ import annotations

import math
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.tuning.budget import Clock, cores, epoch_seconds, full_epochs, pack_size

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
