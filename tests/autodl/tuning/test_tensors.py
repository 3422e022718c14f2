from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.errors import RunError
from autodl.records import InputSpec, Stored, Task
from autodl.tasks import TargetScale
from autodl.tuning.tensors import TARGETS, Goals, read_goals, read_input, save_tensors, write_goals, write_input


def test_an_input_is_read_as_it_was_written(tmp_path):
    spec = InputSpec(
        shape=(2,),
        columns=("a", "b"),
        feature_names=("a", "b=x"),
        feature_mask=torch.tensor([0, 1]),
        baseline=torch.tensor([0.5, 0.25]),
        numeric=torch.tensor([True, False]),
    )
    stored = Stored(torch.randn(5, 2), torch.tensor([True, True, False, True, True]))
    write_input(tmp_path / "table.safetensors", spec, stored)
    again, rows = read_input(tmp_path / "table.safetensors")
    assert (again.shape, again.columns, again.feature_names) == (spec.shape, spec.columns, spec.feature_names)
    assert torch.equal(again.baseline, spec.baseline)
    assert torch.equal(again.numeric, spec.numeric)
    assert again.quantiles is None
    assert torch.equal(rows.values, stored.values)
    assert rows.gaps


SCALES = (TargetScale("none", (3.0,), (2.0,), (-2.0,), (2.5,)), TargetScale("log", (0.5,), (1.5,), shift=1.0))
TASKS = {
    "classes": (Task("y", "multiclass", ("a", "b", "c"), "log_loss"), np.array([0, 2, 1, 1, 0, 2])),
    "labels": (Task("y", "multilabel", metric="log_loss", further=("z",)), np.eye(6, 2)),
    "a number": (Task("y", "regression", metric="rmse", scales=SCALES), np.linspace(0, 9, 6)),
    "numbers": (Task("y", "multioutput", metric="rmse", further=("z",)), np.arange(12.0).reshape(6, 2)),
    "quantiles": (Task("y", "quantile", metric="pinball", quantiles=(0.1, 0.9), scales=SCALES), np.linspace(1, 4, 6)),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_goals_are_read_as_they_were_written(tmp_path, name, weighted):
    task, targets = TASKS[name]
    folds = ((np.array([0, 1, 5]), np.array([2, 4])), (np.array([2, 3, 4, 5]), np.array([0, 1])))
    weights = np.linspace(0.1, 3.0, 6) if weighted else None
    write_goals(tmp_path / "targets.safetensors", Goals(targets, task, folds, weights))
    again = read_goals(tmp_path / "targets.safetensors")
    assert again.task == task
    assert again.targets.dtype == targets.dtype
    np.testing.assert_array_equal(again.targets, targets)
    assert len(again.folds) == 2
    for ours, theirs in zip(again.folds, folds, strict=True):
        for part, known in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(part, known)
    if weights is None:
        assert again.weights is None
    else:
        np.testing.assert_array_equal(again.weights, weights)
    np.testing.assert_array_equal(again.judged, [0, 1, 2, 4])
    np.testing.assert_array_equal(again.judged_targets, targets[[0, 1, 2, 4]])


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, unique=True), min_size=1, max_size=5))
def test_the_judged_rows_are_those_that_a_fold_holds_back_each_once(held):
    folds = tuple((np.arange(31), np.array(sorted(rows))) for rows in held)
    goals = Goals(np.arange(31.0) * 10, Task("y", "regression"), folds)
    assert list(goals.judged) == sorted({row for rows in held for row in rows})
    np.testing.assert_array_equal(goals.judged_targets, goals.judged * 10.0)


@pytest.mark.parametrize("folds", [1, 3])
def test_a_datasets_goals_are_in_its_run(prepared, folds):
    goals = read_goals(prepared.run.data(TARGETS))
    dataset = prepared.dataset
    assert goals.task == dataset.task
    assert len(goals.folds) == folds
    np.testing.assert_array_equal(goals.targets, dataset.targets[dataset.split.rows])
    np.testing.assert_array_equal(goals.judged_targets, dataset.targets[dataset.split.validation])


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(RunError, match="must be writable"):
        save_tensors({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
