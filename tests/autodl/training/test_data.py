from __future__ import annotations

import numpy as np
import pytest
import torch

from autodl.records import InputSpec, Stored, Task
from autodl.training.data import predictions, training_data

CPU = torch.device("cpu")


@pytest.fixture
def images():
    """Ten grey images kept as uint8, the fourth one missing."""
    values = torch.arange(10 * 16, dtype=torch.uint8).view(10, 1, 4, 4)
    present = torch.ones(10, dtype=torch.bool)
    present[3] = False
    spec = InputSpec(
        shape=(1, 4, 4),
        columns=("image",),
        feature_mask=torch.zeros(1, 4, 4, dtype=torch.int64),
        baseline=torch.zeros(1, 4, 4),
        offset=torch.tensor(100.0).view(1, 1, 1),
        scale=torch.tensor(0.5).view(1, 1, 1),
    )
    task = Task("y", "multiclass", ("a", "b", "c"), "log_loss")
    parts = (np.arange(6), np.arange(6, 10))
    return training_data(
        {"image": Stored(values, present)}, {"image": spec}, np.arange(10) % 3, task, parts, device=CPU
    )


def test_pixels_stay_small_in_memory_and_are_scaled_in_the_batch(images):
    assert images.train.stored["image"].values.dtype == torch.uint8
    batch = images.batch(images.train, torch.tensor([[0, 5]]))["image"]
    assert batch.shape == (1, 2, 1, 4, 4)
    assert batch[0, 0, 0, 0, 0] == (0 - 100) * 0.5
    assert batch[0, 1, 0, 0, 1] == (81 - 100) * 0.5


def test_a_missing_row_is_all_nan_and_no_other(images):
    batch = images.batch(images.train, torch.arange(6))["image"]
    assert batch[3].isnan().all()
    assert not batch[[0, 1, 2, 4, 5]].isnan().any()


def test_chunks_hold_every_row_once_in_order(images, monkeypatch):
    monkeypatch.setattr("autodl.training.data.ENTRIES_PER_CHUNK", 1)
    monkeypatch.setattr("autodl.training.data.np.clip", lambda value, low, high: 3)
    parts = [chunk["image"] for chunk in images.chunks(images.validation, 1)]
    assert [len(part) for part in parts] == [3, 1]
    whole = images.batch(images.validation, slice(None))["image"]
    assert torch.equal(torch.cat(parts), whole)


def test_classes_are_counted_on_training_rows(images):
    assert images.class_counts.tolist() == [2, 2, 2]


def test_numbers_are_standardised_for_training_and_not_for_the_metric(problem):
    data = problem(kind="regression")
    assert abs(float(data.train.targets.mean())) < 0.5
    assert abs(float(data.validation_targets.mean()) - 10) < 3
    assert data.class_counts.numel() == 0


def test_outputs_become_probabilities_or_numbers_in_the_targets_unit():
    classes = Task("y", "binary", (0, 1))
    assert torch.allclose(predictions(torch.zeros(2, 5, 2), classes), torch.full((2, 5, 2), 0.5))
    number = Task("y", "regression", location=10.0, scale=2.0)
    assert torch.equal(predictions(torch.ones(3, 1), number), torch.full((3,), 12.0))
