"""What the suite of modalities feeds and compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import SafetensorError

from autodl import registry
from autodl.records import COLUMN_KINDS, InputSpec
from autodl.testing._modality_cases import SCHEMA, check_tables, example_rows, frozen, reloaded, strange_rows
from autodl.testing.modality import fit_all


def test_example_rows_miss_cells_in_every_column_and_never_a_whole_row(tmp_path: Path) -> None:
    frame = example_rows(tmp_path)
    assert list(frame) == [column.name for column in SCHEMA]
    assert len(SCHEMA.columns) == len(COLUMN_KINDS)
    gaps = frame.isna()
    assert gaps.any(axis=0).all()
    assert not gaps.all(axis=1).any()
    assert [frame[f"the {kind}"].dtype.kind for kind in ("number", "boolean", "date", "category")] == list("ffMO")


def test_strange_rows_end_with_an_empty_one(tmp_path: Path) -> None:
    frame = strange_rows(tmp_path)
    assert list(frame) == [column.name for column in SCHEMA]
    assert frame.iloc[-1].isna().all()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"a": np.zeros(2)}, {"a": np.zeros(2)}, True),
        ({"a": np.zeros(2)}, {"a": -np.zeros(2)}, False),
        ({"a": np.zeros(2)}, {"a": np.zeros(2, np.float32)}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": {"b": [1, "x"]}}, {"a": {"b": [1, "x"]}}, True),
    ],
)
def test_frozen_states_differ_in_the_last_bit(first: Any, second: Any, same: bool) -> None:
    assert (frozen(first) == frozen(second)) == same


@pytest.mark.parametrize("value", [np.array(["a", None], object), np.float32(1), {1, 2}, float("nan"), pd.NaT])
def test_a_state_that_is_not_plain_cannot_be_saved(value: Any, tmp_path: Path) -> None:
    modality = fit_all(registry.modalities.load("image"), SCHEMA, example_rows(tmp_path))[0].modality
    modality.state = lambda: {"odd": value}  # type: ignore[method-assign]
    with pytest.raises((TypeError, ValueError, SafetensorError)):
        reloaded(modality, tmp_path)


def ids_spec(**tables: Any) -> InputSpec:
    shape = (3, tables["table"].shape[1] if "table" in tables else 1)
    mask = torch.zeros(shape, dtype=torch.int64)
    return InputSpec(shape=shape, columns=("x",), feature_mask=mask, baseline=torch.zeros(shape), **tables)


def test_tables_of_ids_are_checked() -> None:
    summary, table = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    check_tables(ids_spec(vocabulary=3, summary=summary))
    check_tables(ids_spec(table=table))
    broken: list[dict[str, Any]] = [
        {"vocabulary": 3},
        {"vocabulary": 4, "summary": summary},
        {"vocabulary": 3, "summary": summary + 1},
        {"vocabulary": 3, "summary": summary / 0},
        {"table": table + 1},
        {"table": table / 0},
    ]
    for tables in broken:
        with pytest.raises(AssertionError):
            check_tables(ids_spec(**tables))
