from __future__ import annotations

import io
import math
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.modalities import _sound
from autodl.modalities._decoding import Unreadable
from autodl.modalities._sound import ARRAY_RATE, load, resampled

RATE = 8000
FILES = {
    "a.wav": ("WAV", "PCM_16", 1e-4),
    "u8.wav": ("WAV", "PCM_U8", 1e-2),
    "24.wav": ("WAV", "PCM_24", 1e-6),
    "float.wav": ("WAV", "FLOAT", 1e-6),
    "double.wav": ("WAV", "DOUBLE", 1e-6),
    "ulaw.wav": ("WAV", "ULAW", 3e-2),
    "rf64.wav": ("RF64", "PCM_16", 1e-4),
    "a.flac": ("FLAC", "PCM_16", 1e-4),
    "a.aiff": ("AIFF", "PCM_16", 1e-4),
    "a.au": ("AU", "PCM_16", 1e-4),
    "a.caf": ("CAF", "PCM_16", 1e-4),
    "a.ogg": ("OGG", "VORBIS", 0.2),
    "a.opus": ("OGG", "OPUS", 0.2),
    "a.mp3": ("MP3", "MPEG_LAYER_III", 0.2),
}


def tone(frequency: float = 440, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def encoded(samples: np.ndarray, form: str = "WAV", subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def frequency(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * rate / len(samples)


@pytest.mark.parametrize("name", FILES)
def test_formats(name: str, tmp_path: Path) -> None:
    form, subtype, error = FILES[name]
    samples, rate = load(written(tmp_path / name, encoded(tone(), form, subtype)), 10.0)
    assert samples.dtype == np.float32
    assert rate == RATE
    assert frequency(samples, rate) == pytest.approx(440, abs=10)
    assert abs(np.abs(samples).max() - 0.5) <= error
    if error < 0.1:
        np.testing.assert_allclose(samples, tone(), atol=error)


@pytest.mark.parametrize("name", ["a.mp3", "a.txt", "a"])
def test_the_content_decides_and_not_the_suffix(name: str, tmp_path: Path) -> None:
    assert len(load(written(tmp_path / name, encoded(tone())), 10.0)[0]) == 4000


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([tone(440), -tone(440) + 0.5 * tone(880)], axis=1)
    samples, _ = load(written(tmp_path / "a.wav", encoded(stereo)), 10.0)
    np.testing.assert_allclose(samples, 0.25 * tone(880), atol=1e-4)


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 800), (0.50001, 4000), (99.0, 4000), (0.1 - 1e-5, 800)])
def test_no_more_is_read_than_asked_for(seconds: float, expected: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", encoded(tone(), "FLAC"))
    assert len(load(path, seconds)[0]) == expected
    assert len(load(tone().repeat(2), seconds)[0]) == min(8000, math.ceil(seconds * ARRAY_RATE))


def test_an_hour_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a second of it read at once where there are blocks."""
    head = encoded(tone(seconds=1.0), rate=RATE)
    size = 3600 * RATE * 2
    header = head[:4] + struct.pack("<I", 36 + size) + head[8:40] + struct.pack("<I", size)
    path = written(tmp_path / "a.wav", header + head[44:])
    os.truncate(path, 44 + size)
    asked = []
    read = soundfile.SoundFile.read

    def watched(self: Any, frames: int, **more: Any) -> Any:
        asked.append(frames)
        return read(self, frames, **more)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    monkeypatch.setattr(_sound, "BLOCK", 3000)
    samples, _ = load(path, 1.25)
    assert asked == [3000, 3000, 3000, 1000]
    np.testing.assert_allclose(samples[:RATE], tone(seconds=1.0), atol=1e-4)
    assert not samples[RATE:].any()


def test_a_promise_of_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    """As recorders write that were cut off: the header of an hour, or of no length at all, over a second of sound."""
    whole = encoded(tone(seconds=1.0))
    promised = whole[:4] + struct.pack("<I", 0xFFFFFFFF) + whole[8:40] + struct.pack("<I", 0xFFFFFFFF) + whole[44:]
    assert len(load(written(tmp_path / "a.wav", promised), 10.0)[0]) == RATE


def test_arrays() -> None:
    half = load(np.full(5, -0.5), 1.0)
    assert half[1] == ARRAY_RATE
    assert half[0].dtype == np.float32
    assert half[0].tolist() == [-0.5] * 5
    assert load(np.array([16384, -32768], np.int16), 1.0)[0].tolist() == [0.5, -1.0]
    assert load(np.array([4.0, -8.0], np.float16), 1.0)[0].tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (3.5, "must be a path or an array, however float came"),
        (np.zeros((5, 2)), "one axis, however float64 5 × 2 came"),
        (np.zeros(5, np.int32), "float or int16 and have one axis, however int32 5 came"),
        (np.zeros(5, complex), "however complex128 5 came"),
        (np.zeros(0), "holds no samples"),
        (np.array([0.0, np.nan]), "infinite or no numbers"),
        (np.array([0.0, -np.inf], np.float16), "infinite or no numbers"),
        ("/nowhere/a.wav", "no such file"),
        ("/", "not a regular file"),
        ("a\0b.wav", "no such file"),
        ("a" * 5000, "cannot be read: File name too long"),
    ],
)
def test_cells_that_are_no_sounds(cell: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        load(cell, 1.0)


def header(channels: int, rate: int, *, bits: int = 16, size: int = 0) -> bytes:
    """The first 44 bytes of a WAV file."""
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * step) % 2**32, step % 2**16, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "holds no bytes"),
        (b"\n", "not a sound of the formats WAV, FLAC"),
        (b"no sound at all", "not a sound"),
        (b"\0\0\0\x18ftypM4A ", "not a sound"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "cannot be read"),
        (header(1, RATE), "holds no samples"),
        (header(1, RATE)[:30], "cannot be read"),
        (header(0, RATE, size=80) + bytes(80), "cannot be read"),
        (header(200, RATE, size=800) + bytes(800), "has 200 channels, which is more than 32"),
        (header(1, 1, size=80) + bytes(80), "has 1 samples a second"),
        (header(1, 2_000_000_000, size=80) + bytes(80), "has 2,000,000,000 samples a second"),
        (header(1, 100, bits=8, size=9_000_000) + bytes(9_000_000), "longer than 24 hours"),
        (encoded(np.array([0.1, np.nan]), "WAV", "FLOAT"), "infinite or no numbers"),
        (encoded(np.array([0.1, np.inf]), "AIFF", "DOUBLE"), "infinite or no numbers"),
        (encoded(tone(), "FLAC")[:20], "cannot be read"),
        (encoded(tone(), "OGG", "VORBIS")[:200], "cannot be read"),
        (encoded(tone(), "MP3", "MPEG_LAYER_III")[:10], "cannot be read"),
        (b"fLaC" + bytes(500), "cannot be read"),
        (b"OggS" + bytes(500), "cannot be read"),
        (b"ID3" + bytes(500), "cannot be read"),
        (b"\xff\xfb" + bytes(500), "cannot be read"),
    ],
)
def test_files_that_are_no_sounds(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=reason):
        load(written(tmp_path / "a.wav", data), 1.0)


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp3", b"\xff\xfb")
    os.truncate(path, 2_100_000_000)
    began = time.perf_counter()
    with pytest.raises(Unreadable, match="larger than 2,000 megabytes"):
        load(path, 1.0)
    assert time.perf_counter() - began < 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(Unreadable, match="not a regular file"):
        load(str(tmp_path / "a.wav"), 1.0)


@given(
    form=st.sampled_from(
        [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"), ("AU", "ULAW")]
    ),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
@settings(deadline=None, max_examples=80)
def test_damaged_bytes_are_read_or_refused(
    form: tuple[str, str], cut: float, changes: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(encoded(tone(seconds=0.05), *form))
    for place, value in changes:
        data[int(place * len(data))] = value
    path = written(tmp_path_factory.getbasetemp() / "damaged", bytes(data[: math.ceil(cut * len(data))]))
    try:
        samples, rate = load(path, 1.0)
    except Unreadable:
        return
    assert np.isfinite(samples).all()
    assert 0 < len(samples) <= rate
    assert np.isfinite(resampled((samples, rate), 4000)).all()


@pytest.mark.parametrize(("own", "rate"), [(44_100, 16_000), (8000, 16_000), (48_000, 8000), (44_101, 16_000)])
def test_resampling_keeps_a_tone_and_its_length(own: int, rate: int) -> None:
    found = resampled((tone(1000, 0.5, own).astype(np.float32), own), rate)
    assert found.dtype == np.float32
    assert abs(len(found) - rate / 2) <= 2
    np.testing.assert_allclose(found[50:-50], tone(1000, 0.5, rate)[50 : len(found) - 50], atol=0.02)


def test_resampling_filters_what_the_lower_rate_cannot_hold() -> None:
    assert np.abs(resampled((tone(3000, 0.5, 16_000).astype(np.float32), 16_000), 4000)[50:-50]).max() < 0.01


@pytest.mark.parametrize(("own", "rate"), [(767_957, 16_000), (100, 16_000), (101, 15_991), (768_000, 100)])
def test_odd_rates_take_no_time(own: int, rate: int) -> None:
    resampled((np.zeros(2, np.float32), 2), 1)  # imports scipy.signal
    began = time.perf_counter()
    found = resampled((np.ones(own, np.float32), own), rate)
    assert time.perf_counter() - began < 5
    assert abs(len(found) / rate - 1) < 0.03


def test_the_same_rate_is_the_same_samples() -> None:
    samples = tone().astype(np.float32)
    assert resampled((samples, RATE), RATE) is samples
