"""What the suite of modalities feeds and compares: a table with columns of every kind, and saved states."""

from __future__ import annotations

import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from autodl.contracts import Modality
from autodl.records import COLUMN_KINDS, Column, InputSpec, Schema, Task

SCHEMA = Schema(tuple(Column(f"the {kind}", kind) for kind in COLUMN_KINDS))


def example_rows(folder: Path, count: int = 24) -> pd.DataFrame:
    """Return rows of ``SCHEMA`` as modalities get them; every seventh cell of a column is empty, never a whole row.

    Args:
        folder: Where image and audio files are written.
        count: Number of rows.
    """
    chance = np.random.default_rng(0)
    days = np.datetime64("2024-01-31T06:00", "ns") + chance.integers(0, 900, count) * np.timedelta64(7, "h")
    words = [" ".join(chance.choice(["red", "green", "old", "new"], 3)) for _ in range(count)]
    cells: dict[str, Any] = {
        "number": chance.normal(5, 3, count),
        "category": chance.choice(["red", "green", "blue"], count).astype(object),
        "boolean": chance.integers(0, 2, count).astype(np.float64),
        "date": days,
        "text": np.array(words, object),
        "image": np.array([_image_file(folder / f"{row}.png", chance) for row in range(count)], object),
        "audio": np.array([_audio_file(folder / f"{row}.wav", chance) for row in range(count)], object),
        "ignored": np.arange(count).astype(object),
    }
    frame = pd.DataFrame({f"the {kind}": pd.Series(cells[kind]) for kind in COLUMN_KINDS})
    for position, name in enumerate(frame):
        frame.loc[np.arange(count) % 7 == position % 6 + 1, name] = None
    return frame


def example_targets(task: Task, rows: int, chance: np.random.Generator) -> np.ndarray:
    """Return random targets as ``Task`` says that they look."""
    if task.is_classification:
        return chance.integers(0, len(task.classes), rows)
    numbers = chance.normal(size=(rows, len(task.targets)) if task.further else rows)
    return (numbers > 0).astype(np.float64) if task.kind == "multilabel" else numbers


def strange_rows(folder: Path) -> pd.DataFrame:
    """Return rows of ``SCHEMA`` that training rows had nothing of; the last one is empty throughout."""
    (folder / "text.png").write_text("no image")
    Image.new("RGB", (300, 2), "red").save(folder / "long.png")
    cells: dict[str, Any] = {
        "number": [1e308, -1e308, np.inf, 5e-324, np.nan],
        "category": np.array(["unseen", "", "Ω" * 500, "red ", None], object),
        "boolean": [1.0, 0.0, np.nan, 1.0, np.nan],
        "date": np.array(["1700-01-01", "2200-12-31T23:59:59", "NaT", "1970-01-01", "NaT"], "datetime64[ns]"),
        "text": np.array(["", "unseen e\u0301\0 日本 👩\u200d🔧", "Ω" * 500, "\n\t", None], object),
        "image": np.array([f"{folder / 'text.png'}", f"{folder / 'none.png'}", f"{folder}", "", None], object),
        "audio": np.array([f"{folder / 'text.png'}", f"{folder / 'none.wav'}", f"{folder}", "", None], object),
        "ignored": np.array([None] * 5, object),
    }
    cells["image"][3] = f"{folder / 'long.png'}"
    chance = np.random.default_rng(1)
    cells["audio"][3] = _audio_file(folder / "long.wav", chance, rate=44_100, channels=2, count=30_000)
    return pd.DataFrame({f"the {kind}": pd.Series(cells[kind]) for kind in COLUMN_KINDS})


def check_spec(spec: InputSpec, columns: Sequence[str]) -> None:
    """Assert that a spec is whole: every entry has a column, every column an entry."""
    assert spec.columns == tuple(columns)
    assert spec.feature_mask.shape == spec.shape
    assert spec.feature_mask.dtype == torch.int64
    assert set(spec.feature_mask.flatten().tolist()) == set(range(len(columns)))
    assert spec.baseline.shape == spec.shape
    assert spec.baseline.isfinite().all()
    if len(spec.shape) == 1:
        assert len(spec.feature_names) == len(set(spec.feature_names)) == spec.shape[0]
        assert spec.numeric is not None
        assert spec.numeric.shape == spec.shape
        assert spec.numeric.dtype == torch.bool
        assert spec.quantiles is not None
        assert spec.quantiles.shape[1:] == spec.shape
        assert (spec.quantiles.diff(dim=0) >= 0).all()
    if spec.relevance is not None:
        assert spec.relevance.shape == (len(columns),)
        assert spec.relevance.isfinite().all()
        assert (spec.relevance >= 0).all()
    for each in (spec.offset, spec.scale):
        assert each is None or (each + spec.baseline).shape == spec.shape
    assert len(spec.axes) == len(spec.shape)
    check_tables(spec)


def check_tables(spec: InputSpec) -> None:
    """Assert that what stands for ids of tokens is whole, and nothing where there is no token."""
    if spec.vocabulary:
        assert spec.summary is not None, "estimators must have something to read"
        assert len(spec.summary) == spec.vocabulary
        assert spec.summary.isfinite().all()
        assert not spec.summary[:2].any(), "no token, and an unknown one, say nothing"
    if spec.table is not None:
        assert spec.table.shape[1:] == spec.shape[1:]
        assert spec.table.isfinite().all()
        assert not spec.table[0].any(), "no token has no vector"


def reloaded(modality: Modality, folder: Path) -> Modality:
    """Save the state as JSON and safetensors, load it, and rebuild the modality."""
    arrays: dict[str, np.ndarray] = {}

    def to_plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[str(len(arrays))] = value
            return {"array": str(len(arrays) - 1)}
        return {key: to_plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    def from_plain(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.keys() == {"array"}:
            return saved[value["array"]]
        return {key: from_plain(item) for key, item in value.items()}

    text = json.dumps(to_plain(modality.state()), allow_nan=False)
    save_file(arrays, folder / "state.safetensors")
    saved = load_file(folder / "state.safetensors")
    settings = json.loads(json.dumps(modality.settings))
    return type(modality).from_state(modality.columns, settings, from_plain(json.loads(text)))


def frozen(state: Any) -> Any:
    """The state as something that ``==`` compares to the last bit."""
    if isinstance(state, np.ndarray):
        return state.dtype.str, state.shape, state.tobytes()
    if isinstance(state, dict):
        return {key: frozen(value) for key, value in state.items()}
    return repr(state)


def _image_file(path: Path, chance: np.random.Generator) -> str:
    size = (int(chance.integers(9, 12)), 10, 3)
    Image.fromarray(chance.integers(0, 256, size, np.uint8)).save(path)
    return str(path)


def _audio_file(
    path: Path, chance: np.random.Generator, *, rate: int = 8000, channels: int = 1, count: int = 800
) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(chance.integers(-9000, 9000, count * channels, np.int16).tobytes())
    return str(path)
