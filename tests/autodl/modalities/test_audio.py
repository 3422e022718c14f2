from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch import Tensor

from autodl.errors import DataError
from autodl.modalities.audio import Audio
from autodl.records import Column, InputSpec, Schema, Task

TASK = Task("y", "binary", ("no", "yes"))
VOICE = (Column("voice", "audio"),)


def frame(*cells: Any) -> pd.DataFrame:
    voice = np.empty(len(cells), object)
    voice[:] = [*cells]
    return pd.DataFrame({"voice": pd.Series(voice, dtype=object)})


def noise(seconds: float, seed: int = 0, rate: int = 16_000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))


def file(folder: Path, name: str, samples: np.ndarray, rate: int) -> str:
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format="WAV")
    (folder / name).write_bytes(data.getvalue())
    return str(folder / name)


def fitted(*cells: Any, mels: int = 16, seconds: float = 10.0, seed: int = 0) -> tuple[Audio, InputSpec]:
    modality = Audio(VOICE, mels=mels, seconds=seconds)
    return modality, modality.fit(frame(*cells), np.zeros(len(cells), np.int64), TASK, seed)


def test_claims_each_sound_column_as_an_input() -> None:
    schema = Schema((Column("a", "audio"), Column("x", "number"), Column("b", "audio")))
    assert Audio.claim(schema) == {"a": ["a"], "b": ["b"]}


@pytest.mark.parametrize(
    ("lengths", "seconds", "frames", "step"),
    [
        ([0.5] * 5, 10.0, 50, 0.01),
        ([0.5] * 99 + [9.0], 10.0, 50, 0.01),  # one long clip among many does not stretch all
        ([1.6], 10.0, 160, 0.01),
        ([3.2], 10.0, 160, 0.02),
        ([4.0], 0.8, 80, 0.01),
        ([0.001], 10.0, 8, 0.01),
    ],
)
def test_the_common_length(lengths: list[float], seconds: float, frames: int, step: float) -> None:
    modality, spec = fitted(*[noise(length) for length in lengths], seconds=seconds)
    assert spec.shape == (1, 16, frames)
    assert spec.axes == ("channel", "frequency", "time")
    assert modality.seconds_per_frame == pytest.approx(step)
    assert modality.window == pytest.approx(frames * step)


def test_the_common_rate_is_the_median_and_at_most_16_khz(tmp_path: Path) -> None:
    def rate(*rates: int) -> Any:
        paths = [file(tmp_path, f"{row}.wav", noise(0.1, rate=each), each) for row, each in enumerate(rates)]
        return fitted(*paths)[0].state()["rate"]

    assert rate(44_100, 48_000) == rate(48_000, 16_000, 16_000) == 16_000
    assert rate(8000, 8000, 44_100) == 8000
    assert rate(8000, 11_025, 22_050) == 11_025


def test_rates_and_channels_make_little_difference(tmp_path: Path) -> None:
    """The same hum, recorded otherwise, looks alike."""

    def hum(rate: int) -> np.ndarray:
        time = np.arange(rate // 2) / rate
        return 0.3 * np.sin(2 * np.pi * 500 * time) + 0.1 * np.sin(2 * np.pi * 3000 * time * (1 + time))

    cells: list[Any] = [file(tmp_path, f"{rate}.wav", hum(rate), rate) for rate in (16_000, 44_100, 11_025)]
    cells += [file(tmp_path, "stereo.wav", np.stack([hum(16_000), 0.5 * hum(16_000)], 1), 16_000), hum(16_000)]
    values = fitted(*cells)[0].transform(frame(*cells)).values.float()
    for other in values[1:]:
        assert (other - values[0]).abs()[values[0] > 128].mean() < 4


def test_an_encoder_sees_mean_zero_and_deviation_one_at_each_frequency() -> None:
    cells = [np.cumsum(noise(0.4, seed)) * np.linspace(1, 0.01, 6400) for seed in range(12)]
    modality, spec = fitted(*cells)
    seen = as_seen(modality, spec, *cells)
    torch.testing.assert_close(seen.mean((0, 1, 3)), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std((0, 1, 3), unbiased=False), torch.ones(16), atol=1e-4, rtol=0)
    assert not spec.baseline.any()


def as_seen(modality: Audio, spec: InputSpec, *cells: Any) -> Tensor:
    assert spec.offset is not None
    assert spec.scale is not None
    return (modality.transform(frame(*cells)).values.float() - spec.offset) * spec.scale


def test_after_a_short_clip_stands_the_mean_and_the_end_of_a_long_one_is_left_out() -> None:
    modality, spec = fitted(*[noise(0.5, seed) for seed in range(20)])
    short, long, cut = as_seen(modality, spec, noise(0.2), noise(3.0), noise(3.0)[:8000])
    assert short[..., 20:].abs().max() <= 0.5 / 8
    assert short[..., :20].abs().mean() > 0.5
    assert torch.equal(long, cut)


def test_clips_that_are_nearly_silent_at_a_frequency_are_not_blown_up() -> None:
    _, spec = fitted(np.zeros(8000))
    assert spec.offset is not None
    assert spec.scale is not None
    assert not spec.offset.any()
    assert (spec.scale == 1 / 8).all()


def test_other_rows_are_not_looked_at() -> None:
    """Rate, length, mean and deviation are the training clips'."""
    modality, spec = fitted(noise(0.3))
    modality.transform(frame(noise(9.0, 1)))
    again, same = fitted(noise(0.3))
    first, second = modality.state(), again.state()
    assert np.array_equal(first.pop("mean"), second.pop("mean"))
    assert first == second == {"rate": 16_000, "hop": 160, "frames": 30}
    assert spec.offset is not None
    assert same.offset is not None
    assert torch.equal(spec.offset, same.offset)


def test_missing_and_broken_cells(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    good = file(tmp_path, "good.wav", noise(0.3), 16_000)
    cells = [None, good, str(tmp_path / "empty.wav"), np.full(99, np.nan), np.zeros(1)]
    modality, _ = fitted(*cells)
    stored = modality.transform(frame(*cells))
    assert stored.present.tolist() == [False, True, False, False, True]
    assert stored.values[1].any()
    assert not stored.values[~stored.present].any()
    assert stored.problems == (
        (2, "voice", "holds no bytes"),
        (3, "voice", "holds samples that are infinite or no numbers"),
    )


@pytest.mark.parametrize(
    ("cells", "why"), [((None, None), "all cells are empty"), ((None, "/nowhere/a.wav"), "no such file"), ((), "empty")]
)
def test_without_a_readable_training_clip_the_run_stops(cells: Sequence[Any], why: str) -> None:
    with pytest.raises(DataError, match=f"'voice' must hold a readable sound .*{why}.* --ignore voice"):
        fitted(*cells)


def test_many_broken_clips_do_not_hide_a_good_one() -> None:
    assert fitted(*["/nowhere/a.wav"] * 600, noise(0.3))[1].shape == (1, 16, 30)


def test_a_large_training_set_is_sampled_by_the_seed() -> None:
    cells = [noise(0.01, seed) for seed in range(600)]
    first, again, other = (fitted(*cells, seed=seed)[1].offset for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_wave_of_a_cell_is_what_is_looked_at(tmp_path: Path) -> None:
    modality, _ = fitted(*[file(tmp_path, f"{row}.wav", noise(0.3, row, 8000), 8000) for row in range(3)])
    stereo = np.stack([noise(2.0, 5, 44_100)] * 2, 1)
    wave = modality.waveform(file(tmp_path, "long.wav", stereo, 44_100))
    assert wave is not None
    samples, rate = wave
    assert rate == 8000
    assert samples.dtype == np.float32
    assert len(samples) / rate == pytest.approx(modality.window, abs=0.01)
    assert np.abs(samples).max() <= 1
    for cell in (None, "", "/nowhere/a.wav", 3.5):
        assert modality.waveform(cell) is None
        assert modality.kept(cell) is None


def test_a_kept_cell_looks_like_the_file_it_was(tmp_path: Path) -> None:
    cells = [file(tmp_path, f"{row}.wav", np.cumsum(noise(0.3 + row / 10, row, 8000)), 8000) for row in range(4)]
    modality, spec = fitted(*cells)
    kept = [modality.kept(cell) for cell in cells]
    assert all(each is not None and each.dtype == np.int16 for each in kept)
    seen, again = as_seen(modality, spec, *cells), as_seen(modality, spec, *kept)
    assert (seen - again)[:, :, :14].abs().mean() < 0.1  # the highest bands feel the filters


def test_silence_can_be_kept() -> None:
    modality, _ = fitted(noise(0.1))
    kept = modality.kept(np.zeros(50))
    assert kept is not None
    assert not kept.any()


# augmentation


def draws(*values: Sequence[float]) -> Any:
    """Noise that is known: five numbers for each row of one member."""
    return lambda *shape: torch.tensor([values]).view(1, *shape)


def settings(time_mask: float = 0.0, frequency_mask: float = 0.0, shift: float = 0.0) -> dict[str, Tensor]:
    named = {"time_mask": time_mask, "frequency_mask": frequency_mask, "shift": shift}
    return {name: torch.tensor([value]) for name, value in named.items()}


TILE = torch.arange(1.0, 13.0).view(1, 1, 1, 3, 4)
MIDDLE = 0.5


@pytest.mark.parametrize(("draw", "first"), [(0.0, [2, 3, 4, 1]), (MIDDLE, [1, 2, 3, 4]), (0.999, [4, 1, 2, 3])])
def test_shift_brings_in_at_one_end_what_leaves_at_the_other(draw: float, first: list[int]) -> None:
    """A quarter of 4 frames is 1: the least noise is one earlier, the middle none, the greatest one later."""
    found = Audio.augment(TILE, settings(shift=0.25), draws([draw, 0, 0, 0, 0]))
    assert found[0, 0, 0, 0].tolist() == first
    assert found[0, 0, 0, 2].tolist() == [value + 8 for value in first]


def test_masks_are_spans_of_zeros() -> None:
    """Half of 4 frames is 2: the greatest noise masks 2, from frame 0 to 2 on."""
    late = Audio.augment(TILE, settings(time_mask=0.5), draws([MIDDLE, 0.999, 0.999, 0.999, 0.999]))
    assert late[0, 0, 0].tolist() == [[1, 2, 0, 0], [5, 6, 0, 0], [9, 10, 0, 0]]
    none = Audio.augment(TILE, settings(time_mask=0.5), draws([MIDDLE, 0.3, 0.999, 0.999, 0.999]))
    assert torch.equal(none, TILE)
    low = Audio.augment(TILE, settings(frequency_mask=0.34), draws([MIDDLE, 0.999, 0.999, 0.999, 0.0]))
    assert low[0, 0, 0].tolist() == [[0, 0, 0, 0], [5, 6, 7, 8], [9, 10, 11, 12]]


@given(
    time_mask=st.floats(0, 1), frequency_mask=st.floats(0, 1), shift=st.floats(0, 0.5), seed=st.integers(0, 2**31 - 1)
)
@limits(deadline=None, max_examples=60)
def test_augmentation_is_the_textbooks(time_mask: float, frequency_mask: float, shift: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    batch = generator.normal(size=(1, 3, 1, 7, 11)).astype(np.float32)
    rows = generator.random((3, 5)).astype(np.float32)
    asked = settings(time_mask, frequency_mask, shift)
    found = Audio.augment(torch.from_numpy(batch), asked, draws(*rows.tolist()))
    for row in range(3):
        sound, (moved, wide, early, tall, low) = batch[0, row, 0], rows[row]
        most = round(float(asked["shift"]) * 11)
        expected = np.roll(sound, int(np.floor(moved * (2 * most + 1))) - most, axis=1)
        span = int(wide * (round(float(asked["time_mask"]) * 11) + 1))
        start = int(early * (11 - span + 1))
        expected[:, start : start + span] = 0
        span = int(tall * (round(float(asked["frequency_mask"]) * 7) + 1))
        start = int(low * (7 - span + 1))
        expected[start : start + span] = 0
        np.testing.assert_array_equal(found[0, row, 0].numpy(), expected)


def test_a_missing_sound_stays_missing() -> None:
    batch = torch.full((1, 1, 1, 3, 4), torch.nan)
    found = Audio.augment(batch, settings(0.5, 0.5, 0.5), draws([0.9, 0.9, 0.9, 0.9, 0.9]))
    assert found.isnan().all()
