from __future__ import annotations

import errno
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autodl import storage
from autodl.errors import PluginError, PredictorError, RunError

CONTENT: dict[str, Any] = {
    "array": np.arange(12, dtype=np.float64).reshape(3, 4),
    "list": [1, -0.0, 1e-300, None, True, "ü\ud800\n", float("inf")],
    "network": {"head.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "steps": torch.tensor(7)},
}

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("$array"), inner, max_size=4),
    max_leaves=12,
)
arrays = hnp.arrays(
    st.sampled_from(["?", "u1", "i2", "<i4", ">i8", "f2", "<f4", ">f8"]), hnp.array_shapes(min_dims=0, min_side=0)
)


@settings(deadline=None, max_examples=60)
@given(content=st.dictionaries(st.text(), plain, max_size=4), array=arrays)
def test_what_was_saved_comes_back(
    content: dict[str, Any], array: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    storage.save(folder, "thing", {**content, "\0array": array})
    found = storage.load(folder, "thing")
    restored = found.pop("\0array")
    assert found == {name: value for name, value in content.items() if name != "\0array"}
    assert repr(found) == repr({name: value for name, value in content.items() if name != "\0array"})  # types, -0.0
    assert restored.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(restored, array)


def test_tensors_come_back_as_tensors_on_their_own(tmp_path: Path) -> None:
    matrix = torch.arange(6.0).view(2, 3)
    content = {"a": matrix, "same": matrix, "turned": matrix.T, "part": matrix[1, 1:], "half": matrix.bfloat16()}
    storage.save(tmp_path, "thing", content)
    found = storage.load(tmp_path, "thing")
    for name, tensor in content.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    found["a"].zero_()
    assert torch.equal(found["same"], matrix)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know(tmp_path: Path, number: float) -> None:
    storage.save(tmp_path, "thing", {"x": [number], "$float": "text"})
    found = storage.load(tmp_path, "thing")
    assert str(found["x"][0]) == str(number)
    assert found["$float"] == "text"


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {1: "int key"}, np.array(["text"]), np.array([None]), np.array([1j]), {1, 2}]
)
def test_refuses_what_is_not_plain_and_leaves_nothing(tmp_path: Path, value: object) -> None:
    with pytest.raises(PluginError, match=r"thing\.modality\.0 must be made of JSON values"):
        storage.save(tmp_path / "new", "thing", {"modality": [value]})
    assert not (tmp_path / "new").exists()


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    storage.save(tmp_path, "thing", CONTENT)
    generator = random.Random(0)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        text = range(len(whole)) if file.suffix == ".json" else generator.sample(range(len(whole)), 100)
        for position in text:
            damaged = bytearray(whole)
            damaged[position] ^= 1 << generator.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(PredictorError) as caught:
                storage.load(tmp_path, "thing")
            assert "\n" not in str(caught.value)
        file.write_bytes(whole)
    assert storage.load(tmp_path, "thing")["list"] == CONTENT["list"]


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_noise_is_refused_and_nothing_else_is_raised(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    storage.save(folder, "thing", CONTENT)
    file = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = file.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    changed = whole[:start] + data.draw(st.binary(max_size=40)) + whole[stop:]
    file.write_bytes(changed)
    if changed != whole:
        with pytest.raises(PredictorError):
            storage.load(folder, "thing")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"thing\.json must be readable"):
        storage.load(tmp_path, "thing")
    storage.save(tmp_path, "thing", CONTENT)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(PredictorError, match=r"thing-[0-9a-f]{16}\.safetensors must be readable"):
        storage.load(tmp_path, "thing")


def test_a_newer_version_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as future:
        future.setattr(storage, "SCHEMA", 3)
        storage.save(tmp_path, "thing", CONTENT)
    with pytest.raises(PredictorError, match=r"written by a newer autodl \(schema 3 > 1\); upgrade with pip"):
        storage.load(tmp_path, "thing")


def sealed(tmp_path: Path, **changes: Any) -> None:
    """A file whose own SHA-256 is right, by somebody who means harm."""
    storage.save(tmp_path, "thing", CONTENT)
    body = json.loads((tmp_path / "thing.json").read_bytes())
    del body["sha256"]
    (tmp_path / "thing.json").write_bytes(storage._sealed({**body, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {"sha256": "../../../../etc/passwd", "bytes": 1}},
        {"tensors": {"sha256": ["a"], "bytes": 1}},
        {"tensors": {"sha256": "a" * 64, "bytes": -1}},
        {"tensors": None},
        {"content": [1]},
        {"content": {"x": {"$array": "no such"}}},
        {"content": {"x": {"$array": ["list"]}}},
        {"content": {"x": {"$float": "one"}}},
        {"content": {"x": {"$dict": [1]}}},
        {"schema": "1"},
        {"format": "other"},
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    sealed(tmp_path, **changes)
    with pytest.raises(PredictorError):
        storage.load(tmp_path, "thing")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"x": ' * 100_000, "1" * 10_000, "NaN", "", "null", '{"schema": 1}'])
def test_hostile_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "thing.json").write_text(text)
    with pytest.raises(PredictorError):
        storage.load(tmp_path, "thing")


def test_a_second_value_of_a_key_is_refused(tmp_path: Path) -> None:
    storage.save(tmp_path, "thing", {"x": 1})
    file = tmp_path / "thing.json"
    file.write_bytes(file.read_bytes().replace(b'{"x": 1}', b'{"x": 2, "x": 1}'))
    with pytest.raises(PredictorError, match="SHA-256"):
        storage.load(tmp_path, "thing")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, reason: int
) -> None:
    storage.save(tmp_path, "thing", {"old": np.zeros(3)})
    before = contents(tmp_path)
    calls = 0
    true_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(reason, os.strerror(reason))
        true_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RunError) as caught:
        storage.save(tmp_path, "thing", CONTENT)
    assert ("must have room" in str(caught.value)) == (reason != errno.EIO)
    assert contents(tmp_path) == before
    storage.save(tmp_path, "thing", CONTENT)
    assert len(contents(tmp_path)) == 2


def test_saving_again_replaces_both_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("stays")
    storage.save(tmp_path, "thing", {"x": np.zeros(3)})
    storage.save(tmp_path, "thing", {"x": np.ones(3)})
    assert storage.load(tmp_path, "thing")["x"].tolist() == [1, 1, 1]
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors", ".txt"]
    first = contents(tmp_path)
    storage.save(tmp_path, "thing", {"x": np.ones(3)})
    assert contents(tmp_path) == first


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        storage.save(tmp_path / "file", "thing", CONTENT)
