from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autodl.records import InputSpec, Stored, Task
from autodl.tasks import TargetScale
from autodl.training.data import in_unit, predictions, training_data

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
        {"image": Stored(values, present)}, {"image": spec}, np.arange(10) % 3, task, [parts], device=CPU
    )


def test_pixels_stay_small_in_memory_and_are_scaled_in_the_batch(images):
    assert images.stored["image"].values.dtype == torch.uint8
    batch = images.batch(torch.tensor([[0, 5]]))["image"]
    assert batch.shape == (1, 2, 1, 4, 4)
    assert batch[0, 0, 0, 0, 0] == (0 - 100) * 0.5
    assert batch[0, 1, 0, 0, 1] == (81 - 100) * 0.5


def test_a_missing_row_is_all_nan_and_no_other(images):
    batch = images.batch(torch.arange(6))["image"]
    assert batch[3].isnan().all()
    assert not batch[[0, 1, 2, 4, 5]].isnan().any()


def test_chunks_hold_every_row_once_in_order(images, monkeypatch):
    monkeypatch.setattr("autodl.training.data.ENTRIES_PER_CHUNK", 1)
    monkeypatch.setattr("autodl.training.data.np.clip", lambda value, low, high: 3)
    assert [range(10)[part] for part in images.chunks(10, 1)] == [range(3), range(3, 6), range(6, 9), range(9, 10)]


def test_classes_are_counted_on_training_rows(images):
    assert images.class_counts.tolist() == [2, 2, 2]


def test_numbers_are_standardised_for_training_and_not_for_the_metric(problem):
    data = problem(kind="regression")
    assert abs(float(data.seen["none"].mean())) < 1e-6
    assert abs(float(data.judged_truth.mean()) - 10) < 3
    assert data.class_counts.numel() == 0


def test_a_row_that_is_judged_twice_gets_the_mean(problem):
    data = replace(problem(folds=2), folds=problem(folds=2).folds * 2)
    found = torch.stack([torch.full((40,), float(fold)) for fold in range(4)])
    assert data.collect(found).tolist() == [1.0, 2.0] * 40  # folds 0 and 2, folds 1 and 3


def test_short_folds_are_filled_up_and_the_filling_is_forgotten(problem):
    data = problem(folds=7)
    assert data.validation_index.shape == (7, 12)
    assert torch.equal(data.collect(data.validation_index.float()), torch.arange(80.0))


def test_each_member_sees_numbers_in_its_own_scale(problem):
    data = problem(kind="regression")
    both = replace(data, seen={"none": torch.zeros(80), "log": torch.ones(80)})
    assert both.goals(torch.tensor([[0, 1], [2, 3]]), ["log", "none"]).tolist() == [[1, 1], [0, 0]]


def test_outputs_become_probabilities_or_numbers_in_the_targets_unit():
    classes = Task("y", "binary", (0, 1))
    assert torch.allclose(predictions(torch.zeros(2, 5, 2), classes), torch.full((2, 5, 2), 0.5))
    number = Task("y", "regression", scales=(TargetScale("none", (10.0,), (2.0,)),))
    assert torch.equal(predictions(torch.ones(3, 1), number), torch.full((3,), 12.0))


def test_several_heads_count_alike():
    likely = predictions(torch.tensor([[[100.0, 0.0], [0.0, 100.0]]]), Task("y", "binary", (0, 1)), copies=2)
    assert torch.allclose(likely, torch.tensor([[0.5, 0.5]]))
    number = Task("y", "regression")
    assert predictions(torch.tensor([[[1.0], [3.0]]]), number, copies=2).tolist() == [2.0]


def test_quantiles_never_cross_and_labels_stand_alone():
    levels = Task("y", "quantile", quantiles=(0.1, 0.9))
    assert predictions(torch.tensor([[2.0, 1.0]]), levels).tolist() == [[1.0, 2.0]]
    labels = Task("a", "multilabel", further=("b",))
    assert predictions(torch.zeros(3, 2), labels).tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize("name", ["none", "log"])
def test_tensors_return_to_their_unit_as_arrays_do(name):
    scale = TargetScale(name, (1.0,), (2.0,), (-1.0,), (1.5,), 1.0)
    answers = np.array([-3.0, -0.5, 0.0, 1.0, 9.0])
    found = in_unit(torch.as_tensor(answers).unsqueeze(1), scale).squeeze(1)
    np.testing.assert_allclose(found.numpy(), scale.inverse(answers))
    inside = scale.inverse(answers[1:4])
    np.testing.assert_allclose(scale.forward(inside), answers[1:4], atol=1e-12)


def test_predictions_stand_in_the_order_of_the_judged_rows(problem):
    data = problem()
    shuffled = torch.tensor([9, 3, 7])
    few = replace(data, folds=(replace(data.folds[0], validation=shuffled),))
    assert few.judged.tolist() == [3, 7, 9]
    assert few.collect(shuffled.float().unsqueeze(0)).tolist() == [3.0, 7.0, 9.0]
