from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.modalities.tabular import Tabular
from autodl.records import Column, InputSpec, Schema, Task

TASK = Task("y", "binary", ("no", "yes"))
COLUMNS = (Column("age", "number"), Column("town", "category"), Column("member", "boolean"), Column("since", "date"))


def table(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    dates = np.datetime64("2020-01-01", "ns") + chance.integers(0, 900, rows) * np.timedelta64(1, "D")
    frame = pd.DataFrame(
        {
            "age": chance.normal(40, 10, rows),
            "town": pd.Series(chance.choice(["Rome", "Oslo", "Bern"], rows), dtype=object),
            "member": chance.integers(0, 2, rows).astype(np.float64),
            "since": dates,
        }
    )
    frame.loc[3, :] = None
    return frame


def fitted(
    frame: pd.DataFrame, targets: np.ndarray | None = None, seed: int = 0, **changes: object
) -> tuple[Tabular, InputSpec]:
    modality = Tabular(COLUMNS, **{**Tabular.space.defaults(), **changes})
    goal = np.arange(len(frame)) % 2 if targets is None else targets
    return modality, modality.fit(frame, goal, TASK, seed)


def test_claims_all_its_kinds_as_one_input() -> None:
    schema = Schema((Column("note", "text"), *COLUMNS, Column("photo", "image"), Column("id", "ignored")))
    assert Tabular.claim(schema) == {"table": ["age", "town", "member", "since"]}
    assert Tabular.claim(Schema((Column("note", "text"),))) == {}


def test_the_input_gives_way_to_a_column_of_its_name() -> None:
    """Image columns are inputs of their own names; a number column called so is in the table."""
    assert list(Tabular.claim(Schema((Column("x", "number"), Column("table", "image"))))) == ["table_"]
    assert list(Tabular.claim(Schema((Column("table", "number"), Column("x", "image"))))) == ["table"]


def test_features_stand_side_by_side_in_the_order_of_columns() -> None:
    _, spec = fitted(table())
    assert spec.columns == ("age", "town", "member", "since")
    assert spec.feature_names[:7] == (
        "age",
        "age: missing",
        *[name for name in spec.feature_names if name.startswith("town = ")],
        "town: missing",
        "member",
    )
    assert spec.feature_mask.tolist() == [0] * 2 + [1] * 4 + [2] * 2 + [3] * 6
    assert spec.numeric is not None
    assert [name for name, numeric in zip(spec.feature_names, spec.numeric, strict=True) if numeric] == [
        "age",
        "since: age",
    ]


def test_baseline_is_the_training_mean_and_quantiles_are_numpys() -> None:
    frame = table()
    modality, spec = fitted(frame)
    seen = modality.transform(frame).values
    torch.testing.assert_close(spec.baseline, seen.mean(0), rtol=1e-4, atol=1e-6)
    assert spec.quantiles is not None
    expected = np.quantile(seen.numpy().astype(np.float64), np.linspace(0, 1, 129), axis=0)
    np.testing.assert_allclose(spec.quantiles.numpy(), expected, atol=1e-6)


def test_only_training_rows_are_learned_from() -> None:
    """Whatever the other rows of the table hold, training rows look the same, and others as the training rows say."""
    frame = table(300)
    train = frame.iloc[:200]
    modality, spec = fitted(train)
    wild = frame.copy()
    wild.loc[200:, "age"] = 1e9
    wild.loc[200:, "town"] = "Atlantis"
    other, same = fitted(wild.iloc[:200])
    assert torch.equal(modality.transform(train).values, other.transform(wild).values[:200])
    assert same.feature_names == spec.feature_names
    assert torch.equal(same.baseline, spec.baseline)
    middle = float(train["age"].median())
    exact = train.assign(age=middle).iloc[:1]
    assert modality.transform(exact).values[0, 0] == 0


@pytest.mark.parametrize("scaling", ["robust", "quantile", "standard"])
def test_a_row_with_nothing_in_it_is_there(scaling: str) -> None:
    modality, spec = fitted(table(), scaling=scaling)
    stored = modality.transform(table())
    assert stored.present.all()
    assert stored.values.dtype == torch.float32
    row = dict(zip(spec.feature_names, stored.values[3].tolist(), strict=True))
    assert {name for name, value in row.items() if value} == {f"{c.name}: missing" for c in COLUMNS}


def test_broken_cells_are_told_of_and_empty_ones_are_not() -> None:
    frame = table()
    modality, _ = fitted(frame)
    frame["age"] = frame["age"].astype(object)
    frame.loc[[5, 9], "age"] = [np.inf, "old"]
    problems = modality.transform(frame).problems
    assert problems == ((5, "age", "not a usable number"), (9, "age", "not a usable number"))


def test_relevance_ranks_columns() -> None:
    frame = table(3000)
    towns = (frame["town"] == "Rome").to_numpy()
    targets = (towns ^ (np.random.default_rng(0).random(3000) < 0.1)).astype(np.int64)
    _, spec = fitted(frame, targets)
    assert spec.relevance is not None
    age, town, member, since = spec.relevance.tolist()
    assert town > 0.2
    assert max(age, member, since) < 0.02


def test_relevance_of_a_date_sees_its_season() -> None:
    """Even where its age tells nothing."""
    frame = table(3000)
    _, spec = fitted(frame, (frame["since"].dt.month == 6).to_numpy().astype(np.int64))
    assert spec.relevance is not None
    assert spec.relevance.argmax() == 3
    assert spec.relevance[3] > 0.15


def test_relevance_for_a_number() -> None:
    frame = table(1000).drop(index=3)
    modality = Tabular(COLUMNS, **Tabular.space.defaults())
    goal = frame["age"].to_numpy() ** 3
    spec = modality.fit(frame, goal, Task("y", "regression"), 0)
    assert spec.relevance is not None
    assert spec.relevance.argmax() == 0
    assert spec.relevance[0] > 1.5


@pytest.mark.parametrize("kind", ["multioutput", "multilabel"])
def test_relevance_for_several_targets_is_the_mean_of_theirs(kind: str) -> None:
    frame = table(1000).drop(index=3)
    age, member = frame["age"].to_numpy() > 40, frame["member"].to_numpy() > 0
    targets = np.stack([age, member], axis=1).astype(np.float64)
    modality = Tabular(COLUMNS, **Tabular.space.defaults())
    spec = modality.fit(frame, targets, Task("y", kind, further=("z",)), 0)  # type: ignore[arg-type]
    assert spec.relevance is not None
    each = [modality.fit(frame, goal.astype(np.int64), TASK, 0).relevance for goal in (age, member)]
    torch.testing.assert_close(spec.relevance, (each[0] + each[1]) / 2, atol=0.02, rtol=0)  # type: ignore[operator]
    assert spec.relevance[0] > 0.2
    assert spec.relevance[2] > 0.2


def test_the_cap_limits_a_columns_features() -> None:
    names = [f"town {number % 20}" for number in range(200)]
    frame = table().assign(town=pd.Series(names, dtype=object))
    _, spec = fitted(frame, categories=8)
    assert sum(name.startswith("town = ") for name in spec.feature_names) == 8
    assert "town: other" in spec.feature_names


def test_the_seed_decides_the_noise_of_quantiles() -> None:
    frame = table().round({"age": -1})
    first, again, other = (
        fitted(frame, seed=seed, scaling="quantile")[0].transform(frame).values for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(max_examples=30)
@given(
    cells=st.lists(st.floats(width=64), min_size=1, max_size=20),
    later=st.lists(st.floats(width=64), max_size=10),
    scaling=st.sampled_from(["robust", "quantile", "standard"]),
)
def test_any_numbers_become_finite_features(cells: list[float], later: list[float], scaling: str) -> None:
    modality = Tabular((Column("x", "number"),), scaling=scaling, categories=32)
    spec = modality.fit(pd.DataFrame({"x": cells}), np.zeros(len(cells), np.int64), TASK, 0)
    found = modality.transform(pd.DataFrame({"x": np.array([*cells, *later])}))
    assert found.values.isfinite().all()
    assert spec.quantiles is not None
    assert spec.quantiles.isfinite().all()
    infinite = {row for row, cell in enumerate([*cells, *later]) if np.isinf(cell)}
    assert {row for row, _, _ in found.problems} == infinite


@pytest.mark.parametrize("scaling", ["robust", "quantile", "standard"])
def test_fifty_thousand_rows_take_less_than_half_a_second(scaling: str) -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{index}": chance.normal(size=50_000) for index in range(10)})
    modality = Tabular([Column(name, "number") for name in frame], scaling=scaling, categories=32)
    targets = chance.integers(0, 2, 50_000)
    began = time.process_time()
    modality.fit(frame, targets, TASK, 0)
    fit_seconds = time.process_time() - began
    modality.transform(frame)
    assert fit_seconds < 0.5
    assert time.process_time() - began - fit_seconds < 0.5


def test_two_thousand_columns_are_taken() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2000))).rename(columns=str)
    modality = Tabular([Column(name, "number") for name in frame], **Tabular.space.defaults())
    spec = modality.fit(frame, np.arange(60) % 2, TASK, 0)
    assert spec.shape == (2000,)
    assert modality.transform(frame).values.shape == (60, 2000)
