from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from autodl.data.options import DataOptions
from autodl.errors import DataError


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(),
        DataOptions(target="y", columns={"zip": "category"}, ignore=("a",), keep=("b",), seed=3),
        DataOptions(target=("a", "b"), task="multioutput", sample_weight="w"),
        DataOptions(target="y", quantiles=(0.1, 0.5)),
    ],
)
def test_options_survive_json(options):
    assert DataOptions(**json.loads(json.dumps(asdict(options)))) == options


def test_one_target_is_a_tuple_of_one_and_levels_rise():
    assert DataOptions(target="yes").target == ("yes",)
    assert DataOptions(target=["a", "b"]).target == ("a", "b")
    assert DataOptions(target=None).target == ()
    assert DataOptions(target="y", quantiles=[0.9, 0.1]).quantiles == (0.1, 0.9)


def test_named_columns_come_with_their_option():
    options = DataOptions(columns={"a": "text"}, ignore=("b",), keep=("c",), group="d")
    assert list(options.named()) == [("--column", "a"), ("--ignore", "b"), ("--keep", "c"), ("--group", "d")]
    assert list(DataOptions(time_order="t").named()) == [("--time-order", "t")]
    assert list(DataOptions(sample_weight="w").named()) == [("--sample-weight", "w")]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": {"a": "float"}}, "must name a kind, however 'float' came; choose number, category"),
        ({"task": "ranking"}, "must be one of binary, multiclass, .*, quantile, however 'ranking' came"),
        ({"test_share": 0.0}, "test_share must lie between 0 and 1, however 0.0 came"),
        ({"validation_share": 1.0}, "validation_share must lie between 0 and 1"),
        ({"group": "a", "time_order": "b"}, "one of --group and --time-order must be chosen"),
        ({"target": ("a", "b", "a")}, "each --target must be another column, however 'a' came twice"),
        ({"target": ("a", "b"), "task": "binary"}, "--task binary must have one --target, however 2 came"),
        ({"target": "a", "task": "multilabel"}, "--task multilabel must have several --target, however one came"),
        ({"task": "quantile"}, "must have levels, however none came; say --quantiles 0.1,0.5,0.9"),
        ({"quantiles": (0.5, 1.0)}, "different numbers between 0 and 1, however 0.5, 1 came"),
        ({"quantiles": (0.5, float("nan"))}, "different numbers between 0 and 1"),
        ({"quantiles": (0.5, 0.5)}, "different numbers between 0 and 1, however 0.5, 0.5 came"),
        ({"quantiles": tuple(level / 21 for level in range(1, 21))}, "at most 19, however 20 came; drop some"),
        ({"quantiles": (0.5,), "target": ("a", "b")}, "must be of one number, however 2 targets came"),
        ({"quantiles": (0.5,), "task": "binary"}, "must be of one number, however --task binary came"),
        ({"sample_weight": "w", "columns": {"w": "number"}}, "no feature, however --column or --keep names 'w' too"),
        ({"sample_weight": "w", "keep": ("w",)}, "no feature, however --column or --keep names 'w' too"),
    ],
)
def test_what_is_not_possible_is_refused(said, message):
    with pytest.raises(DataError, match=message):
        DataOptions(**said)
