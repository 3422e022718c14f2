from __future__ import annotations

import numpy as np
import pytest
import torch

from autodl import registry
from autodl.records import InputSpec, Stored
from autodl.training import data as module
from autodl.training.data import training_data
from autodl.tuning.executors._estimate import estimate, flat_rows
from autodl.tuning.tensors import TARGETS, read_goals, read_input

CPU = torch.device("cpu")


@pytest.fixture
def goals(prepared):
    return read_goals(prepared.run.data(TARGETS))


@pytest.fixture
def fitted(prepared, goals, estimator_job):
    """Fit one estimator on what a job's files hold."""

    def run(name, stop=lambda: False):
        made = estimator_job(name)
        spec, stored = read_input(prepared.run.data(made.inputs["table"]))
        rows = training_data({"table": stored}, {"table": spec}, goals.targets, goals.task, goals.folds, device=CPU)
        return estimate(prepared.run, 0, made.members[0], rows, goals, stop)

    return run


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("asked", [0, 1, 2])
def test_only_one_that_saw_every_fold_has_a_score(fitted, run, folds, asked):
    """It is asked before each fold; once the last one has begun it is an answer."""
    calls = iter(range(1000))
    message = fitted("dummy", stop=lambda: next(calls) >= asked)
    assert (message["score"] is not None) == (asked >= folds) == message["ended"]
    assert run.trial(0).exists() == (asked >= folds)
    assert message["seconds"] >= 0
    assert message["error"] == ""


def test_what_it_raises_is_left_to_the_worker(fitted, monkeypatch, run):
    def broken(*arguments):
        raise ZeroDivisionError("no")

    monkeypatch.setattr(registry.estimators.load("dummy"), "fit", broken)
    with pytest.raises(ZeroDivisionError):
        fitted("dummy")
    assert not run.trial(0).exists()


def test_a_score_that_is_no_number_is_an_error_with_the_metrics_name(fitted, monkeypatch, run):
    monkeypatch.setattr(registry.estimators.load("dummy"), "predict", lambda self, x: np.full((len(x), 3), np.nan))
    with pytest.raises(ValueError, match="its predictions have no log_loss: it is nan"):
        fitted("dummy")
    assert not run.trial(0).exists()


def test_latency_is_of_one_row_and_one_fold(fitted, monkeypatch):
    seen = []
    dummy = registry.estimators.load("dummy")
    real = dummy.predict
    monkeypatch.setattr(dummy, "predict", lambda self, x: seen.append(len(x)) or real(self, x))
    message = fitted("dummy")
    assert seen[-3:] == [1, 1, 1]
    assert 0 < message["latency"] < 0.1


@pytest.mark.parametrize("entries", [64, 4_000_000], ids=["chunks", "at once"])
def test_the_inputs_of_a_row_lie_side_by_side_in_order_of_their_names(monkeypatch, goals, entries):
    """Bytes as encoders see them, and NaN where a whole input is missing."""
    monkeypatch.setattr(module, "ENTRIES_PER_CHUNK", entries)
    rows = len(goals.targets)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (rows, 1, 2, 2), generator=generator, dtype=torch.uint8)
    there = torch.arange(rows) % 3 > 0
    numbers = torch.randn(rows, 3, generator=generator)
    stored = {"table": Stored(numbers, torch.ones(rows, dtype=torch.bool)), "photo": Stored(pixels, there)}

    def spec(*shape, **more):
        return InputSpec(shape, ("c",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape), **more)

    photo = spec(1, 2, 2, offset=torch.tensor(100.0), scale=torch.tensor(0.5))
    specs = {"table": spec(3), "photo": photo}
    found = flat_rows(training_data(stored, specs, goals.targets, goals.task, goals.folds, device=CPU))
    assert (found.shape, found.dtype) == ((rows, 7), np.float32)
    np.testing.assert_array_equal(found[:, 4:], numbers.numpy())
    assert np.isnan(found[~there.numpy(), :4]).all()
    np.testing.assert_array_equal(found[there.numpy(), :4], (pixels[there].flatten(1).float() - 100.0).numpy() * 0.5)
