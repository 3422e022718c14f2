from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autodl.data.dataset import DataOptions, load_dataset
from autodl.errors import DataError
from autodl.records import Column, Component, Schema
from autodl.tuning.prepared import Prepared, claims, left_out
from autodl.tuning.tensors import TARGETS, read_goals, read_input


def test_each_setting_is_made_once(prepared):
    first = prepared.ensure("table", Component("tabular", {"scaling": "robust", "categories": 32}))
    modality = prepared.modalities[first]
    assert prepared.ensure("table", Component("tabular", {"scaling": "robust", "categories": 32})) == first
    assert prepared.modalities[first] is modality
    assert prepared.ensure("table", Component("tabular", {"scaling": "standard", "categories": 32})) != first


def test_rows_lie_training_first(prepared):
    key = prepared.ensure("table", Component("tabular", {"scaling": "standard", "categories": 32}))
    _, stored = read_input(prepared.run.data(key))
    split = prepared.dataset.split
    train = stored.values[: len(split.train)]
    assert len(stored.values) == len(split.train) + len(split.validation)
    assert train.mean(dim=0).abs().max() < 1e-5
    assert (train.std(dim=0) - 1).abs().max() < 0.01


@pytest.mark.parametrize("folds", [4])
def test_folds_are_positions_in_the_files_of_the_run(prepared):
    """Where the dataset counts the test rows too."""
    split = prepared.dataset.split
    goals = read_goals(prepared.run.data(TARGETS))
    key = prepared.ensure("table", Component("tabular", {"scaling": "standard", "categories": 32}))
    _, stored = read_input(prepared.run.data(key))
    assert len(stored.values) == len(goals.targets) == len(split.rows)
    assert max(split.rows) >= len(split.rows)  # so that positions differ
    held = [rows for _, rows in goals.folds]
    np.testing.assert_array_equal(np.sort(np.concatenate(held)), np.arange(len(split.rows)))
    for (train, validation), (train_, validation_) in zip(goals.folds, split.folds, strict=True):
        np.testing.assert_array_equal(split.rows[train], np.sort(train_))
        np.testing.assert_array_equal(split.rows[validation], np.sort(validation_))


@pytest.mark.parametrize("folds", [1, 3])
def test_rows_keep_their_weights(dataset, run):
    weights = np.random.default_rng(0).random(len(dataset.targets))
    made = Prepared(replace(dataset, weights=weights), run, seed=0)
    made.write_targets()
    np.testing.assert_array_equal(read_goals(run.data(TARGETS)).weights, weights[dataset.split.rows])


def test_columns_that_no_modality_takes_are_named(dataset):
    text = Column("review", "text", "many words")
    schema = Schema((*dataset.schema, text, Column("id", "ignored", "an id")))
    changed = replace(dataset, schema=schema)
    (line,) = left_out(changed, claims(changed))
    assert "'review'" in line
    assert "text" in line


def test_a_table_without_a_usable_column_is_refused(iris):
    frame = iris[["species"]].assign(clip=[f"sounds/{row}.wav" for row in range(len(iris))])
    with pytest.raises(DataError, match="at least one column must be usable"):
        claims(load_dataset(frame, DataOptions(target="species")))


def test_the_default_settings_give_every_inputs_shape(prepared):
    (modality, spec) = prepared.defaults()["table"]
    assert modality == "tabular"
    assert spec.shape == (4,)
    assert isinstance(prepared, Prepared)
