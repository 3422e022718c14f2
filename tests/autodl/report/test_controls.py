from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autodl.records import Column
from autodl.report._controls import (
    Control,
    Transform,
    assembled,
    changed,
    controls_for,
    one_at_a_time,
    own_positions,
    transformed,
)

COLUMNS = [Column("size", "number"), Column("kind", "category"), Column("on", "boolean"), Column("day", "date")]


def frame(**cells: Any) -> pd.DataFrame:
    usual: dict[str, Any] = {
        "size": [3.0, 0.1, np.nan, 12.0],
        "kind": ["b10", "b2", "a", None],
        "on": [True, False, True, True],
        "day": pd.to_datetime(["2024-01-03", "2024-01-01", "2024-02-01", None]),
    }
    return pd.DataFrame({**usual, **cells})


def seen(rows: pd.DataFrame) -> dict[str, Tensor]:
    """Two views, as two modalities make them."""
    size = rows["size"].to_numpy(dtype=np.float32)
    kinds = [np.float32(rows["kind"] == kind) for kind in ("a", "b2", "b10")]
    plain = np.stack([np.nan_to_num(size), np.float32(np.isnan(size)), *kinds], 1)
    days = rows["day"].to_numpy(dtype="datetime64[s]").astype(np.float64) / 86_400 - 19_000
    others = np.stack([np.tanh(np.nan_to_num(size)), np.float32(rows["on"]), np.where(rows["day"].isna(), 0, days)], 1)
    return {"first": torch.from_numpy(plain), "second": torch.from_numpy(others.astype(np.float32))}


def controls(rows: pd.DataFrame, count: int = 2, most: int = 41, transform: Transform = seen) -> dict[str, Control]:
    found = controls_for(rows.iloc[:count], rows.iloc[count:], transform, COLUMNS, most)
    return {control.column: control for control in found}


def test_positions_are_cells_in_order_with_the_missing_one_last() -> None:
    found = controls(frame())
    assert {name: control.labels for name, control in found.items()} == {
        "size": ("0.1", "3", "12", "(missing)"),
        "kind": ("a", "b2", "b10", "(missing)"),
        "on": ("False", "True"),
        "day": ("2024-01-01", "2024-01-03", "2024-02-01", "(missing)"),
    }
    assert {name: control.current for name, control in found.items()} == {
        "size": (1, 0), "kind": (2, 1), "on": (1, 0), "day": (1, 0)
    }  # fmt: skip
    assert [found[name].missing for name in ("size", "on")] == [3, None]
    assert found["day"].numbers[:3] == (19723, 19725, 19754)


def test_each_column_owns_what_it_changes_in_every_view() -> None:
    found = controls(frame())
    owned = {name: {view: at.tolist() for view, at in control.entries.items()} for name, control in found.items()}
    assert owned == {
        "size": {"first": [0, 1], "second": [0]},
        "kind": {"first": [2, 3, 4]},
        "on": {"second": [1]},
        "day": {"second": [2]},
    }
    assert found["kind"].features["first"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


ROWS = frame()
FOUND = list(controls(ROWS, 4).values())


@given(st.data())
def test_what_is_put_together_is_what_is_transformed(data: st.DataObject) -> None:
    positions = np.array([data.draw(st.integers(0, len(control) - 1)) for control in FOUND])
    row = data.draw(st.integers(0, 3))
    mine = assembled({name: x[row] for name, x in seen(ROWS).items()}, FOUND, positions)
    truth = seen(changed(ROWS.iloc[row : row + 1], FOUND, positions[None]))
    assert all(np.array_equal(mine[name], x[0].numpy()) for name, x in truth.items())


def test_a_row_at_its_own_positions_is_itself() -> None:
    rows = frame()
    found = list(controls(rows, 4).values())
    for row in range(4):
        same = changed(rows.iloc[row : row + 1], found, own_positions(found, row)[None])
        pd.testing.assert_frame_equal(same, rows.iloc[row : row + 1].reset_index(drop=True), check_dtype=False)


def test_many_numbers_become_quantiles_that_rows_really_had() -> None:
    values = np.random.default_rng(0).lognormal(size=500).round(3)
    many = pd.concat([frame()] * 125, ignore_index=True).assign(size=values)
    found = controls(many, 3)["size"]
    assert len(found) <= 41
    assert set(found.numbers) <= set(values)
    assert {values.min(), values.max(), *values[:3]} <= set(found.numbers)
    inside = np.searchsorted(np.sort(values), found.numbers) / 500
    assert np.diff(inside).max() < 0.06


def test_of_many_categories_the_rows_own_and_the_most_frequent_stay() -> None:
    names = ["rare", *[f"c{n}" for n in range(30) for _ in range(n + 1)]]
    many = pd.DataFrame({"kind": names, "size": 1.0, "on": True, "day": pd.Timestamp("2024-01-01")})
    found = controls(many, 1, most=5)
    assert found["kind"].labels == ("c26", "c27", "c28", "c29", "rare")
    assert list(found) == ["kind"]  # of the others there is one value only


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (np.array([1, 2, 3, 10], dtype=np.int64), ("1", "2", "3", "10")),
        (np.array([0.1, 0.2, 1e20, 2.5e-7], dtype=np.float32), ("2.5e-07", "0.1", "0.2", "1e+20")),
        (pd.array([1, None, 5, 4], dtype="Int64"), ("1", "4", "5", "(missing)")),
        (np.array([1.0, np.inf, 2.0, 3.0]), ("1", "2", "3", "(missing)")),
    ],
)
def test_numbers_are_written_as_they_were(cells: Any, labels: tuple[str, ...]) -> None:
    def one(rows: pd.DataFrame) -> Mapping[str, Tensor]:
        return {"x": torch.tensor(rows["size"].to_numpy(dtype=np.float32, na_value=np.nan)[:, None])}

    assert controls(frame(size=cells), transform=one)["size"].labels == labels


def test_one_control_at_a_time_takes_each_of_its_positions() -> None:
    found = list(controls(frame()).values())
    changes = one_at_a_time(found, own_positions(found, 0))
    assert len(changes) == sum(map(len, found))
    assert ((changes != own_positions(found, 0)).sum(1) <= 1).all()
    assert changes[: len(found[0]), 0].tolist() == list(range(len(found[0])))


def test_rows_are_transformed_in_pieces_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodl.report._controls.ROWS_AT_ONCE", 3)
    assert torch.equal(transformed(frame(), seen)["first"], seen(frame())["first"])
