"""What every modality owes: subclass ``ModalitySuite`` with one fixture, and pytest does the rest.

The suite brings a table with columns of every kind, of which a modality claims what it takes. One that asks for cells
of another sort replaces the fixtures ``schema``, ``rows`` and ``strange``.

Example:
    >>> class TestMine(ModalitySuite):  # doctest: +SKIP
    ...     @pytest.fixture
    ...     def modality(self):
    ...         return MyModality
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from autodl.contracts import Modality, Noise
from autodl.records import Column, InputSpec, Schema, Stored, Task
from autodl.space import Choice, Dimension, Space, Value
from autodl.testing._modality_cases import (
    SCHEMA,
    check_spec,
    example_rows,
    example_targets,
    frozen,
    reloaded,
    strange_rows,
)
from autodl.testing.encoder import edges

CLASSES = Task("y", "multiclass", ("a", "b", "c"))
NUMBER = Task("y", "regression")
SEVERAL = Task("y", "multioutput", further=("z",))
LABELS = Task("y", "multilabel", further=("z",))


@dataclass(frozen=True)
class Fitted:
    """One input of a modality, fitted."""

    modality: Modality
    spec: InputSpec
    stored: Stored


Fits: TypeAlias = list[Fitted]


def fit_all(
    modality: type[Modality],
    schema: Schema,
    rows: pd.DataFrame,
    task: Task = CLASSES,
    settings: Mapping[str, Value] | None = None,
) -> Fits:
    """Fit the modality for each input that it claims; at its default settings if none are given."""
    chance = np.random.default_rng(1)
    targets = example_targets(task, len(rows), chance)
    found = []
    for columns in modality.claim(schema).values():
        fitted = modality(_named(schema, columns), **(settings or _structural(modality.space).defaults()))
        spec = fitted.fit(rows, targets, task, seed=3)
        found.append(Fitted(fitted, spec, fitted.transform(rows)))
    return found


class ModalitySuite:
    """Tests of one modality; a subclass, or its module, has the fixture ``modality``."""

    @pytest.fixture
    def schema(self) -> Schema:
        """A column of every kind."""
        return SCHEMA

    @pytest.fixture
    def rows(self, tmp_path: Path) -> pd.DataFrame:
        """Training rows."""
        return example_rows(tmp_path)

    @pytest.fixture
    def strange(self, tmp_path: Path) -> pd.DataFrame:
        """Rows that training rows had nothing of; the last one is empty throughout."""
        return strange_rows(tmp_path)

    @pytest.fixture
    def fits(self, modality: type[Modality], schema: Schema, rows: pd.DataFrame) -> Fits:
        """The modality at its default settings, for each input."""
        return fit_all(modality, schema, rows)

    def test_every_knob_is_documented(self, modality: type[Modality]) -> None:
        """Each knob says what it does, and its default is a value that the component takes."""
        for name, dimension in modality.space.items():
            assert dimension.doc, f"{name} must have a doc"
            assert dimension.allows(dimension.center()), f"the default of {name} must be a value of it"

    def test_claims_columns_of_the_table_once(self, modality: type[Modality], schema: Schema) -> None:
        """Some, none twice, none that is ignored; nothing where there is nothing."""
        claimed = [column for columns in modality.claim(schema).values() for column in columns]
        usable = [column.name for column in schema if column.kind != "ignored"]
        assert claimed, "a suite over columns that the modality does not claim would prove nothing"
        assert len(set(claimed)) == len(claimed)
        assert set(claimed) <= set(usable)
        assert modality.claim(Schema(())) == {}

    @pytest.mark.parametrize("task", [CLASSES, NUMBER, SEVERAL, LABELS], ids=lambda task: task.kind)
    def test_spec_tells_the_tensor(self, modality: Any, schema: Any, rows: Any, strange: Any, task: Task) -> None:
        """At every edge of the structural knobs: shapes, names, masks and finite numbers, also of strange rows."""
        for settings in edges(_structural(modality.space)):
            for fitted in fit_all(modality, schema, rows, task, settings):
                check_spec(fitted.spec, [column.name for column in fitted.modality.columns])
                for frame in (rows, strange, rows.iloc[:1], rows.iloc[:0]):
                    check_stored(fitted.modality.transform(frame), fitted.spec, len(frame))

    def test_quantiles_and_baseline_are_of_the_training_rows(self, fits: Fits) -> None:
        """Of what an encoder sees: the quantiles from the least to the greatest, the baseline within."""
        for fitted in fits:
            if fitted.spec.quantiles is not None:
                seen = fitted.stored.values
                assert torch.equal(fitted.spec.quantiles[0], seen.amin(0))
                assert torch.equal(fitted.spec.quantiles[-1], seen.amax(0))
                assert (fitted.spec.baseline >= seen.amin(0) - 1e-6).all()
                assert (fitted.spec.baseline <= seen.amax(0) + 1e-6).all()

    def test_transform_learns_nothing(self, fits: Fits, rows: pd.DataFrame, strange: pd.DataFrame) -> None:
        """Rows other than the training ones change neither the state nor how rows look."""
        for fitted in fits:
            before = frozen(fitted.modality.state())
            fitted.modality.transform(strange)
            assert frozen(fitted.modality.state()) == before
            _assert_same(fitted.modality.transform(rows), fitted.stored)

    def test_a_row_does_not_see_the_others(self, fits: Fits, rows: pd.DataFrame) -> None:
        """Nor the order of rows, nor the frame's index."""
        turned = rows.iloc[::-1].set_axis([f"row {i}" for i in range(len(rows))])
        for fitted in fits:
            found = fitted.modality.transform(turned)
            assert torch.equal(found.values.flip(0), fitted.stored.values)
            for row in range(len(rows)):
                alone = fitted.modality.transform(rows.iloc[[row]])
                assert torch.equal(alone.values[0], fitted.stored.values[row])

    def test_same_seed_same_fit(self, fits: Fits, modality: type[Modality], schema: Schema, rows: pd.DataFrame) -> None:
        """Everything drawn by chance comes from the seed."""
        for first, second in zip(fits, fit_all(modality, schema, rows), strict=True):
            assert frozen(first.modality.state()) == frozen(second.modality.state())
            _assert_same(first.stored, second.stored)

    def test_the_frame_is_left_as_it_was(self, modality: type[Modality], schema: Schema, rows: pd.DataFrame) -> None:
        """Other modalities and settings read it too."""
        before = rows.copy(deep=True)
        fit_all(modality, schema, rows)
        pd.testing.assert_frame_equal(rows, before)

    def test_state_survives_saving(self, modality: Any, schema: Any, rows: Any, strange: Any, tmp_path: Path) -> None:
        """Through JSON and plain arrays, to the last bit, at every edge."""
        for settings in edges(_structural(modality.space)):
            for fitted in fit_all(modality, schema, rows, settings=settings):
                again = reloaded(fitted.modality, tmp_path)
                for frame in (rows, strange):
                    _assert_same(again.transform(frame), fitted.modality.transform(frame))
                assert frozen(again.state()) == frozen(fitted.modality.state())

    def test_missing_rows_are_zeros(self, fits: Fits, strange: pd.DataFrame) -> None:
        """And what the user left empty is no problem to tell of; a broken cell is, with its row, column and reason."""
        for fitted in fits:
            found = fitted.modality.transform(strange)
            assert not found.values[~found.present].any()
            for row, column, reason in found.problems:
                cell = strange[column].iloc[row]
                assert cell == cell, f"row {row} of '{column}' is empty, which is no problem"
                assert cell is not None, f"row {row} of '{column}' is empty, which is no problem"
                assert reason

    def test_no_augmentation_at_zero(self, modality: type[Modality], fits: Fits) -> None:
        """A member whose ``per_member`` knobs are zero gets its batch back, whatever the noise."""
        for fitted in fits:
            batch = _batch(fitted)
            zeros = {name: torch.zeros(2) for name in _per_member(modality)}
            _assert_equal(modality.augment(batch, zeros, _noise(2)), batch)

    def test_augmentation_is_drawn_from_the_noise(self, modality: type[Modality], fits: Fits) -> None:
        """Every knob changes something; the same noise gives the same batch, and the batch that came stays whole."""
        for fitted in fits:
            batch = _batch(fitted)
            before = batch.clone()
            for name, knob in _per_member(modality).items():
                settings = _settings(modality, {name: _highest(knob)})
                changed = modality.augment(batch, settings, _noise(2))
                assert changed.shape == batch.shape
                assert changed.dtype == batch.dtype
                assert not torch.equal(changed.nan_to_num(9), batch.nan_to_num(9)), f"{name} must do something"
                _assert_equal(modality.augment(batch, settings, _noise(2)), changed)
                _assert_equal(batch, before)
                assert torch.equal(changed.flatten(2).isnan().all(2), batch.flatten(2).isnan().all(2))
                assert torch.equal(changed.isnan().any(), batch.isnan().any())

    def test_members_are_augmented_apart(self, modality: type[Modality], fits: Fits) -> None:
        """A member gets the same batch, and draws as much, whoever shares its pack."""
        for fitted in fits:
            batch = _batch(fitted)
            high = {name: torch.tensor([0.0, _highest(knob)]) for name, knob in _per_member(modality).items()}
            generators = [torch.Generator().manual_seed(member) for member in range(2)]
            packed = modality.augment(batch, high, _noise_of(generators))
            for member in range(2):
                own = torch.Generator().manual_seed(member)
                mine = {name: value[member : member + 1] for name, value in high.items()}
                alone = modality.augment(batch[member : member + 1], mine, _noise_of([own]))
                _assert_equal(alone[0], packed[member])
                assert torch.equal(own.get_state(), generators[member].get_state())


def check_stored(stored: Stored, spec: InputSpec, count: int) -> None:
    """Assert that rows are as a spec tells, and finite as an encoder sees them."""
    assert stored.values.shape == (count, *(spec.shape if spec.table is None else spec.shape[:1]))
    assert stored.values.dtype in (torch.float32, torch.uint8, torch.int32)
    ids = spec.vocabulary if spec.table is None else len(spec.table)
    assert not ids or ((stored.values >= 0) & (stored.values < ids)).all()
    assert stored.values.is_contiguous()
    assert stored.present.shape == (count,)
    assert stored.present.dtype == torch.bool
    assert _seen(stored, spec).isfinite().all()
    assert all(0 <= row < count and column in spec.columns for row, column, _ in stored.problems)


def _named(schema: Schema, names: Sequence[str]) -> list[Column]:
    return [column for column in schema if column.name in names]


def _structural(space: Space) -> Space:
    return Space(**{name: space[name] for name in space if not space[name].per_member})


def _per_member(modality: type[Modality]) -> Mapping[str, Dimension]:
    return {name: knob for name, knob in modality.space.items() if knob.per_member}


def _highest(knob: Dimension) -> float:
    last: Value = len(knob.options) - 1 if isinstance(knob, Choice) and isinstance(knob.options[0], str) else 0
    return float(last or (knob.options[-1] if isinstance(knob, Choice) else knob.high))


def _settings(modality: type[Modality], chosen: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: torch.full((2,), chosen.get(name, 0.0)) for name in _per_member(modality)}


def _seen(stored: Stored, spec: InputSpec) -> Tensor:
    """What an encoder sees of rows that are there. Shape: → rows *shape."""
    x = stored.values.float() if spec.table is None else spec.table[stored.values.long()].float()
    x = x if spec.offset is None else x - spec.offset
    return x if spec.scale is None else x * spec.scale


def _batch(fitted: Fitted) -> Tensor:
    """Two members' equal batches of training rows, those that are missing all NaN. Shape: → 2 rows *shape."""
    x = _seen(fitted.stored, fitted.spec)
    x[~fitted.stored.present] = torch.nan
    return torch.stack([x, x])


def _noise(members: int) -> Noise:
    return _noise_of([torch.Generator().manual_seed(member) for member in range(members)])


def _noise_of(generators: Sequence[torch.Generator]) -> Noise:
    return lambda *shape: torch.stack([torch.rand(shape, generator=generator) for generator in generators])


def _assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def _assert_same(found: Stored, expected: Stored) -> None:
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.present, expected.present)
    assert found.problems == expected.problems
