from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from autodl.data.dataset import DataOptions, load_dataset
from autodl.errors import DataError
from autodl.modalities.image import Image as Pictures
from autodl.modalities.tabular import Tabular
from autodl.records import Column, Component, Schema
from autodl.testing._modality_cases import frozen
from autodl.tuning import prepared as room
from autodl.tuning.prepared import Prepared, Reading, bad_cells, claims, left_out
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import TARGETS, read_goals, read_input

STANDARD = Component("tabular", {"scaling": "standard", "categories": 32})
TABLE = Component("tabular", Tabular.space.defaults())
PHOTO = Component("image", Pictures.space.defaults())


@pytest.fixture
def album(tmp_path):
    """Pictures in files, one of them broken and one cell empty, beside a number."""
    draw = np.random.default_rng(0)
    for row in range(24):
        pixels = draw.integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row:02}.png")
    (tmp_path / "17.png").write_bytes(b"no image")
    photos = [None if row == 5 else f"{row:02}.png" for row in range(24)]
    labels = ["a", "b"] * 12
    frame = pd.DataFrame({"photo": photos, "size": draw.normal(size=24), "kind": labels})
    frame.to_csv(tmp_path / "album.csv", index=False)
    found = load_dataset(str(tmp_path / "album.csv"), DataOptions(target="kind", test_share=0.1))
    everyone = np.arange(24)
    split = replace(found.split, train=everyone[:18], validation=everyone[18:22], test=everyone[22:])
    return replace(found, split=split, task=replace(found.task, metric="log_loss"))


class ReadAgain(Exception):
    """A modality was fitted, or rows transformed."""


@contextmanager
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here nothing may be fitted nor transformed."""

    def fail(*_: object) -> None:
        raise ReadAgain

    with monkeypatch.context() as patch:
        for modality in (Tabular, Pictures):
            patch.setattr(modality, "fit", fail)
            patch.setattr(modality, "transform", fail)
        yield


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
    (line,) = left_out(changed, SimpleNamespace(claims=claims(dataset), unreadable={}))
    assert "'review'" in line
    assert "text" in line


def test_an_input_of_which_no_row_can_be_read_is_left_out_with_its_reason(tmp_path):
    for row in range(20):
        (tmp_path / f"{row}.png").write_bytes(b"no picture")
    photo = [f"{row}.png" for row in range(20)]
    frame = pd.DataFrame({"size": np.arange(20.0) % 7, "photo": photo, "kind": ["a", "b"] * 10})

    def made(columns, place):
        found = load_dataset(frame[columns], DataOptions(target="kind", root=str(tmp_path)))
        return Prepared(found, RunFolder.create(str(tmp_path / place), ""), 0)

    both = made(["size", "photo", "kind"], "both")
    assert list(both.defaults()) == list(both.claims) == ["table"]
    (line,) = left_out(both.dataset, both)
    assert line.startswith("column 'photo' is left out: column 'photo' must hold a readable image")
    with pytest.raises(DataError, match="must hold a readable image"):
        made(["photo", "kind"], "alone").defaults()


def test_a_table_without_a_usable_column_is_refused(dataset):
    nothing = replace(dataset, schema=Schema((Column("id", "ignored", "all values differ"),)))
    with pytest.raises(DataError, match=r"at least one column must be usable.*id \(ignored: all values differ\)"):
        claims(nothing)


def test_the_default_settings_give_every_inputs_shape(prepared):
    (modality, spec) = prepared.defaults()["table"]
    assert modality == "tabular"
    assert spec.shape == (4,)
    assert isinstance(prepared, Prepared)


def test_many_rows_are_read_a_slice_after_another(dataset, run, monkeypatch):
    """To the same tensors, whatever the slices are."""
    whole = Prepared(dataset, run, seed=0)
    _, known = read_input(run.data(whole.ensure("table", STANDARD)))
    known = known.values.clone()
    sizes, real = [], Tabular.transform
    monkeypatch.setattr(room, "FIRST_ROWS", 10)
    monkeypatch.setattr(room, "SLICE_BYTES", 25 * 4 * 4)  # of 4 numbers a row
    monkeypatch.setattr(Tabular, "transform", lambda self, rows: sizes.append(len(rows)) or real(self, rows))
    sliced = Prepared(replace(dataset, fingerprint="another"), run, seed=0)
    _, found = read_input(run.data(sliced.ensure("table", STANDARD)))
    assert torch.equal(found.values, known)
    assert sizes[:2] == [10, 25]
    assert max(sizes) == 25
    assert sum(sizes) == len(dataset.split.rows)


def test_what_an_earlier_session_read_is_taken_from_the_disk(album, run, monkeypatch):
    first = Prepared(album, run, seed=0)
    made = first.defaults()
    second = Prepared(album, run, seed=0)
    with unread(monkeypatch):
        found = second.defaults()
    assert {name: modality for name, (modality, _) in found.items()} == {"photo": "image", "table": "tabular"}
    for name, (_, spec) in found.items():
        assert spec.to_parts()[0] == made[name][1].to_parts()[0]
        assert torch.equal(spec.baseline, made[name][1].baseline)
    assert second.problems == first.problems
    assert second.seconds == first.seconds > 0
    for key, modality in second.modalities.items():
        assert frozen(modality.state()) == frozen(first.modalities[key].state())
        assert modality.columns == first.modalities[key].columns
        _, stored = read_input(run.data(key))
        assert torch.equal(stored.values, modality.transform(album.frame.iloc[album.split.rows]).values)


def without_a_row(album):
    return replace(album, split=replace(album.split, train=album.split.train[1:]))


CHANGES = {
    "seed": lambda album: (album, 1),
    "table": lambda album: (replace(album, fingerprint="another"), 0),
    "targets": lambda album: (replace(album, targets=1 - album.targets), 0),
    "rows": lambda album: (without_a_row(album), 0),
    "column": lambda album: (replace(album, schema=Schema((*list(album.schema)[:1], Column("size", "category")))), 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_made_of_something_else_is_read_anew(album, run, monkeypatch, change):
    Prepared(album, run, seed=0).ensure("table", STANDARD)
    dataset, seed = CHANGES[change](album)
    with unread(monkeypatch), pytest.raises(ReadAgain):
        Prepared(dataset, run, seed).ensure("table", STANDARD)


def test_a_picture_that_was_written_to_since_is_read_anew_and_the_table_is_not(album, run, monkeypatch):
    Prepared(album, run, seed=0).defaults()
    os.utime(album.root / "03.png", (0, 0))
    again = Prepared(album, run, seed=0)
    with unread(monkeypatch):
        again.ensure("table", TABLE)
        with pytest.raises(ReadAgain):
            again.ensure("photo", PHOTO)
    (album.root / "17.png").unlink()
    assert again.ensure("photo", PHOTO) in again.specs
    assert [(row, why) for row, _, why in again.problems] == [(17, "no such file")]


@pytest.mark.parametrize("damage", ["tensors", "record", "arrays", "lost"])
def test_what_is_damaged_is_read_anew(album, run, monkeypatch, damage):
    key = Prepared(album, run, seed=0).ensure("table", STANDARD)
    folder = run.data(key).parent
    (arrays,) = folder.glob(f"{key}-*.safetensors")
    path = {"tensors": run.data(key), "arrays": arrays}.get(damage, folder / f"{key}.json")
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2])
    with unread(monkeypatch), pytest.raises(ReadAgain):
        Prepared(album, run, seed=0).ensure("table", STANDARD)
    again = Prepared(album, run, seed=0)
    again.ensure("table", STANDARD)
    assert len(read_input(run.data(key))[1].values) == len(album.split.rows)
    with unread(monkeypatch):
        Prepared(album, run, seed=0).ensure("table", STANDARD)


def test_tensors_of_a_session_that_died_before_it_told_of_them_are_not_taken(album, run, monkeypatch):
    """Nor with the words of the session before it."""
    key = Prepared(album, run, seed=0).ensure("table", STANDARD)
    before = {path: path.read_bytes() for path in run.data(key).parent.glob(f"{key}?*") if path != run.data(key)}
    other = replace(album, targets=1 - album.targets)
    Prepared(other, run, seed=0).ensure("table", STANDARD)
    for path in run.data(key).parent.glob(f"{key}?*"):
        if path != run.data(key):
            path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    for dataset in (album, other):
        with unread(monkeypatch), pytest.raises(ReadAgain):
            Prepared(dataset, run, seed=0).ensure("table", STANDARD)


def test_a_cell_that_could_not_be_used_is_told_of_once(album, run):
    """However many settings read it; what the user left empty is not told of."""
    made = Prepared(album, run, seed=0)
    made.defaults()
    made.ensure("photo", Component("image", {"side": 10}))
    ((row, column, why),) = made.problems
    assert (row, column) == (17, "photo")
    assert bad_cells(made.problems) == [
        f"cells that could not be used, and count as missing: 1 in 'photo' (first row 17: {why})"
    ]


def test_bad_cells_are_counted_by_column_and_the_first_is_named():
    cells = [(9, "talk", "no such file"), (4, "talk", "0 bytes"), (2, "photo", "truncated")]
    (line,) = bad_cells(cells)
    assert "1 in 'photo' (first row 2: truncated); 2 in 'talk' (first row 4: 0 bytes)" in line
    assert bad_cells([]) == []


def test_the_time_of_reading_counts_each_input_at_its_slowest(prepared):
    prepared.readings = {"a": {"a-1": Reading(2.0), "a-2": Reading(3.0)}, "b": {"b-1": Reading(0.5)}}
    assert prepared.seconds == 3.5
