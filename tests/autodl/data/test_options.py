from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from autodl.data.options import DataOptions
from autodl.errors import DataError


def test_options_survive_json():
    options = DataOptions(target="y", columns={"zip": "category"}, ignore=("a",), keep=("b",), seed=3)
    assert DataOptions(**json.loads(json.dumps(asdict(options)))) == options


def test_named_columns_come_with_their_option():
    options = DataOptions(columns={"a": "text"}, ignore=("b",), keep=("c",), group="d")
    assert list(options.named()) == [("--column", "a"), ("--ignore", "b"), ("--keep", "c"), ("--group", "d")]
    assert list(DataOptions(time_order="t").named()) == [("--time-order", "t")]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": {"a": "float"}}, "must name a kind, however 'float' came; choose number, category"),
        ({"task": "ranking"}, "must be one of binary, multiclass, regression, however 'ranking' came"),
        ({"test_share": 0.0}, "test_share must lie between 0 and 1, however 0.0 came"),
        ({"validation_share": 1.0}, "validation_share must lie between 0 and 1"),
        ({"group": "a", "time_order": "b"}, "one of --group and --time-order must be chosen"),
    ],
)
def test_what_is_not_possible_is_refused(said, message):
    with pytest.raises(DataError, match=message):
        DataOptions(**said)
