from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from autodl import records, tasks
from autodl.records import (
    COLUMN_KINDS,
    Column,
    ColumnKind,
    Component,
    InputSpec,
    Schema,
    Split,
    Stored,
    Task,
    TaskKind,
    TrialConfig,
    TrialRecord,
    column_names,
)

VALUES = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
SETTINGS = st.dictionaries(st.text(), VALUES, max_size=4)
COMPONENTS = st.builds(Component, st.text(), SETTINGS)
PARTS = st.dictionaries(st.text(), COMPONENTS, max_size=3)
CONFIGS = st.builds(
    TrialConfig,
    *(PARTS, PARTS, COMPONENTS, COMPONENTS, SETTINGS, st.integers(), st.integers()),
    fusion=st.none() | COMPONENTS,
    estimator=st.none() | COMPONENTS,
)


def types(value: Any) -> Any:
    """The same nest with types in place of values: 1, 1.0 and True are equal, and must not become one another."""
    if dataclasses.is_dataclass(value):
        return type(value), {each.name: types(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: types(each) for name, each in value.items()}
    return [types(each) for each in value] if isinstance(value, tuple) else type(value)


@pytest.mark.parametrize(
    ("record", "examples"),
    [(Component, COMPONENTS), (TrialConfig, CONFIGS)],
    ids=["component", "config"],
)
@given(data=st.data())
def test_what_goes_through_json_comes_back(record: Any, examples: st.SearchStrategy[Any], data: st.DataObject) -> None:
    before = data.draw(examples)
    after = record.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before
    assert types(after) == types(before)


def test_what_is_written_shares_no_settings_with_the_record() -> None:
    config = TrialConfig(
        {}, {"a": Component("mlp", {"depth": 1})}, Component("huber"), Component("sgd"), {"x": 1}, 1, 0
    )
    data = config.to_json()
    again = TrialConfig.from_json(data)
    data["encoders"]["a"]["settings"]["depth"] = data["training"]["x"] = 2
    for each in (config, again):
        assert (each.encoders["a"].settings, each.training) == ({"depth": 1}, {"x": 1})


def test_a_recipe_from_before_there_were_estimators_is_a_networks() -> None:
    data = TrialConfig({}, {}, Component("huber"), Component("sgd"), {}, 1, 0).to_json()
    del data["estimator"]
    assert TrialConfig.from_json(data).estimator is None


class TestSplit:
    everyone = np.array([0, 2, 3, 5, 6, 7])

    def test_one_part_held_out_is_one_fold(self) -> None:
        split = Split(self.everyone[:4], self.everyone[4:], np.array([1, 4]))
        ((train, held),) = split.folds
        assert (train.tolist(), held.tolist()) == ([0, 2, 3, 5], [6, 7])
        assert split.rows.tolist() == [0, 2, 3, 5, 6, 7]

    def test_cross_validated_every_row_is_trained_on_and_judged(self) -> None:
        cross = tuple((np.setdiff1d(self.everyone, held), held) for held in np.split(self.everyone, 3))
        split = Split(self.everyone, self.everyone, np.array([1, 4]), cross=cross)
        assert split.folds == cross
        assert split.rows.tolist() == self.everyone.tolist()  # each once


class TestSchema:
    schema = Schema((Column("a", "number"), Column("b", "text"), Column("c", "number"), Column("d", "date")))

    def test_columns_of_some_kinds_keep_their_order(self) -> None:
        assert column_names(self.schema.of_kind("date", "number")) == ["a", "c", "d"]
        assert self.schema.of_kind("image") == self.schema.of_kind() == ()

    def test_it_is_walked_column_by_column(self) -> None:
        assert column_names(list(self.schema)) == ["a", "b", "c", "d"]

    def test_every_kind_of_column_is_listed_once(self) -> None:
        assert get_args(ColumnKind) == COLUMN_KINDS


class TestInputSpec:
    @given(
        features=st.integers(1, 4),
        optional=st.sets(st.sampled_from(["numeric", "quantiles", "relevance", "offset", "scale"])),
    )
    def test_parts_come_back_from_a_file(self, features: int, optional: set[str]) -> None:
        """Plain data through JSON, tensors through safetensors; what was not there is not there again."""
        possible = {
            "numeric": torch.rand(features) > 0.5,
            "quantiles": torch.rand(features, 9).mT,  # not contiguous, which a file must be
            "relevance": torch.rand(features),
            "offset": torch.tensor(3.0),
            "scale": torch.rand(features, dtype=torch.float64),
        }
        columns = tuple(f"c{index}" for index in range(features))
        before = InputSpec(
            shape=(features,),
            columns=columns,
            feature_mask=torch.arange(features),
            baseline=torch.rand(features),
            feature_names=columns,
            **{name: possible[name] for name in optional},
        )
        plain, tensors = before.to_parts()
        after = InputSpec.from_parts(json.loads(json.dumps(plain)), load(save(tensors)))
        for each in dataclasses.fields(InputSpec):
            old, new = getattr(before, each.name), getattr(after, each.name)
            if isinstance(old, torch.Tensor):
                torch.testing.assert_close(new, old, rtol=0, atol=0)  # of one dtype and shape too
            else:
                assert (new, type(new)) == (old, type(old))

    def test_an_image_has_no_feature_names(self) -> None:
        spec = InputSpec((1, 2, 2), ("photo",), torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2))
        plain, tensors = spec.to_parts()
        axes = ["channel", "height", "width"]
        assert plain == {"shape": [1, 2, 2], "columns": ["photo"], "feature_names": [], "axes": axes, "vocabulary": 0}
        assert set(tensors) == {"feature_mask", "baseline"}


@pytest.mark.parametrize(("present", "gaps"), [([True, True], False), ([True, False], True), ([], False)])
def test_one_missing_row_is_a_gap(present: list[bool], gaps: bool) -> None:
    assert Stored(torch.zeros(len(present), 3), torch.tensor(present, dtype=torch.bool)).gaps is gaps


def test_the_task_is_reached_from_here_too() -> None:
    assert Task is tasks.Task
    assert TaskKind is tasks.TaskKind


def test_nothing_that_travels_can_be_changed_on_its_way() -> None:
    found = [each for _, each in inspect.getmembers(records, dataclasses.is_dataclass)]
    assert len(found) >= 9
    assert [each for each in found if not each.__dataclass_params__.frozen] == []


def test_a_trial_begins_with_nothing_and_shares_no_rungs_with_others() -> None:
    config = TrialConfig({}, {}, Component("huber"), Component("sgd"), {}, 1, 0)
    one, other = (TrialRecord(number, "running", config) for number in (0, 1))
    assert (one.score, one.epoch, one.error, one.cost) == (None, 0, "", None)
    assert one.rungs == {}
    assert one.rungs is not other.rungs
