from __future__ import annotations

import numpy as np
import pytest
import torch

from autodl.errors import RunError
from autodl.records import InputSpec, Stored, Task
from autodl.tuning.tensors import TARGETS, read_input, read_targets, save_tensors, write_input


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


def test_targets_are_read_as_they_were_written(prepared):
    targets, task, train = read_targets(prepared.run.data(TARGETS))
    split = prepared.dataset.split
    assert task == prepared.dataset.task
    assert isinstance(task, Task)
    assert train == len(split.train)
    np.testing.assert_array_equal(targets[train:], prepared.dataset.targets[split.validation])


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(RunError, match="must be writable"):
        save_tensors({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
