"""Files that would crash, hang or fool a reader: each is a missing cell with its reason, and good ones stay good."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from autodl import registry
from autodl.data.dataset import DataOptions, Dataset, load_dataset
from autodl.modalities._decoding import Unreadable
from autodl.modalities._decoding import load as load_image
from autodl.modalities._sound import load as load_sound
from autodl.records import InputSpec, Stored

GOOD = 12  # files of each kind that can be read
RATE = 8000


def picture(**more: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    return saved(Image.fromarray(pixels), **{"format": "PNG", **more})


def saved(image: Image.Image, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **more)
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of these chunks."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def shape(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def sound(samples: np.ndarray | None = None, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    hum = np.sin(np.arange(2400) / 3) * 0.5
    file = io.BytesIO()
    soundfile.write(file, hum if samples is None else samples, RATE, format=form, subtype=subtype)
    return file.getvalue()


def wave(channels: int = 1, rate: int = RATE, bits: int = 16, *, says: int | None = None, data: bytes = b"") -> bytes:
    """A WAV file by hand, whose header may say what is not so."""
    says = len(data) if says is None else says
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * step) % 2**32, step % 2**16, bits)
    head = b"RIFF" + struct.pack("<I", (36 + says) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16)
    return head + form + b"data" + struct.pack("<I", says) + data


def huge(path: Path) -> None:
    """Two gigabytes that take no room on the disk."""
    path.touch()
    os.truncate(path, 2_100_000_000)


TEXT = b"I am no file of that kind.\n" * 50
MADE: dict[str, Callable[[Path], Any]] = {
    "directory": Path.mkdir,
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to(path.with_name("nowhere")),
    "leaves": lambda path: path.symlink_to(path.parent.parent / f"outside{path.suffix}"),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "password": lambda path: path.symlink_to("/etc/passwd"),
    "huge": huge,
    "absent": lambda path: None,
}
OUTSIDE = ""  # told of by the data, where the cell becomes empty
IMAGES: dict[str, tuple[Any, str]] = {
    "bytes_0.png": (b"", "not an image"),
    "byte_1.png": (b"\x89", "not an image"),
    "signature_only.png": (png(), "not an image"),
    "cut.png": (picture()[:2000], "cannot be read"),
    "cut.jpg": (picture(format="JPEG")[:600], "cannot be read"),
    "cut.gif": (picture(format="GIF")[:900], "cannot be read"),
    "cut.webp": (picture(format="WEBP", lossless=True)[:900], "cannot be read|not an image"),
    "bomb.png": (png(shape(60_000, 60_000), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")), "larger than 25"),
    "bomb_of_zeros.png": (saved(Image.new("1", (20_000, 20_000)), format="PNG"), "larger than 25 megapixels"),
    "side_of_2_31.png": (png(shape(2**31 - 1, 2**31 - 1), (b"IEND", b"")), "larger than 25 megapixels"),
    "no_width.png": (png(shape(0, 5), (b"IEND", b"")), "holds no pixels|not an image|cannot be read"),
    "no_pixels.png": (png(shape(5, 5), (b"IEND", b"")), "cannot be read"),
    "text_bomb.png": (
        png(shape(4, 4), (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000))), (b"IEND", b"")),
        "cannot be read|not an image",
    ),
    "text.png": (TEXT, "not an image"),
    "sound.png": (sound(), "not an image"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "real_numbers.tiff": (saved(Image.new("F", (9, 9), 0.5), format="TIFF"), "real numbers"),
    "directory.png": (MADE["directory"], "not a regular file"),
    "pipe.png": (MADE["pipe"], "not a regular file"),
    "loop.png": (MADE["loop"], "no such file"),
    "dangling.png": (MADE["dangling"], "no such file"),
    "absent.png": (MADE["absent"], "no such file"),
    "leaves.png": (MADE["leaves"], OUTSIDE),
    "device.png": (MADE["device"], OUTSIDE),
    "password.png": (MADE["password"], OUTSIDE),
}
SOUNDS: dict[str, tuple[Any, str]] = {
    "bytes_0.wav": (b"", "holds no bytes"),
    "byte_1.wav": (b"R", "not a sound"),
    "header_only.wav": (wave(), "holds no samples"),
    "hour_that_is_not_there.wav": (wave(says=3600 * RATE * 2), "holds no samples"),
    "cut_in_its_header.wav": (sound()[:30], "cannot be read"),
    "cut.flac": (sound(form="FLAC")[:30], "cannot be read"),
    "cut.ogg": (sound(form="OGG", subtype="VORBIS")[:300], "cannot be read"),
    "cut.mp3": (sound(form="MP3", subtype="MPEG_LAYER_III")[:20], "cannot be read"),
    "nan.wav": (sound(np.array([0.1, np.nan, 0.2]), subtype="FLOAT"), "infinite or no numbers"),
    "infinite.wav": (sound(np.array([0.1, np.inf, 0.2]), subtype="DOUBLE"), "infinite or no numbers"),
    "channels_200.wav": (wave(200, data=bytes(8000)), "200 channels"),
    "channels_0.wav": (wave(0, data=bytes(80)), "cannot be read"),
    "rate_1.wav": (wave(rate=1, data=bytes(80)), "1 samples a second"),
    "rate_0.wav": (wave(rate=0, data=bytes(80)), "cannot be read|samples a second"),
    "rate_of_2_000_000_000.wav": (wave(rate=2_000_000_000, data=bytes(80)), "samples a second"),
    "bits_0.wav": (wave(bits=0, data=bytes(80)), "cannot be read"),
    "day_and_an_hour.wav": (wave(rate=100, bits=8, data=bytes(9_000_000)), "longer than 24 hours"),
    "gigabytes.mp3": (MADE["huge"], "larger than 2,000 megabytes"),
    "text.wav": (TEXT, "not a sound"),
    "image.wav": (picture(), "not a sound"),
    "image_in_riff.wav": (picture(format="WEBP"), "cannot be read"),
    "zeros_after_a_tag.mp3": (b"ID3" + bytes(5000), "cannot be read"),
    "zeros_after_a_mark.flac": (b"fLaC" + bytes(5000), "cannot be read"),
    "aac.m4a": (b"\0\0\0\x18ftypM4A \0\0\0\0", "not a sound"),
    "directory.wav": (MADE["directory"], "not a regular file"),
    "pipe.wav": (MADE["pipe"], "not a regular file"),
    "loop.wav": (MADE["loop"], "no such file"),
    "dangling.wav": (MADE["dangling"], "no such file"),
    "absent.wav": (MADE["absent"], "no such file"),
    "leaves.wav": (MADE["leaves"], OUTSIDE),
    "device.wav": (MADE["device"], OUTSIDE),
    "password.wav": (MADE["password"], OUTSIDE),
}
ODD_BUT_GOOD = {  # files that look hostile and are not
    "odd_sample_1.wav": wave(data=b"\0\x40"),
    "odd_hour_over_a_second.wav": wave(says=3600 * RATE * 2, data=sound()[44:]),
    "odd_suffix.mp3": sound(),
    "odd_silence.flac": sound(np.zeros(800), "FLAC"),
    "odd_stereo.aiff": sound(np.zeros((800, 2)) + 0.1, "AIFF", "PCM_24"),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Good files of each kind, then the hostile ones, then those that only look so."""
    root = tmp_path_factory.mktemp("hostile") / "root"
    root.mkdir()
    (root.parent / "outside.png").write_bytes(picture())
    (root.parent / "outside.wav").write_bytes(sound())
    for row in range(GOOD):
        (root / f"{row}.png").write_bytes(picture())
        (root / f"{row}.wav").write_bytes(sound(np.sin(np.arange(2400) / (3 + row))))
    for name, (content, _) in {**IMAGES, **SOUNDS}.items():
        content(root / name) if callable(content) else (root / name).write_bytes(content)
    for name, content in ODD_BUT_GOOD.items():
        (root / name).write_bytes(content)
    sounds = [*(f"{row}.wav" for row in range(GOOD)), *SOUNDS, *ODD_BUT_GOOD]
    images = [*(f"{row}.png" for row in range(GOOD)), *IMAGES]
    images += ["0.png"] * (len(sounds) - len(images))
    table = pd.DataFrame({"image": images, "sound": sounds, "y": [f"c{row % 2}" for row in range(len(sounds))]})
    table.to_csv(root / "table.csv", index=False)
    return load_dataset(root / "table.csv", DataOptions(target=("y",)))


def seen(dataset: Dataset, modality: str, column: str) -> tuple[Stored, InputSpec]:
    """The column as its modality keeps it, fitted on all rows, the hostile ones too."""
    kind = registry.modalities.load(modality)
    columns = [each for each in dataset.schema if each.name == column]
    settings = {name: knob.center() for name, knob in kind.space.items() if not knob.per_member}
    fitted = kind(columns, **settings)
    spec = fitted.fit(dataset.frame, dataset.targets, dataset.task, 0)
    return fitted.transform(dataset.frame), spec


CASES = [("image", "image", IMAGES, 0), ("audio", "sound", SOUNDS, len(ODD_BUT_GOOD))]


@pytest.mark.parametrize(("modality", "column", "hostile", "odd"), CASES)
def test_hostile_files_are_missing_cells_each_with_its_reason(
    dataset: Dataset, modality: str, column: str, hostile: dict[str, tuple[Any, str]], odd: int
) -> None:
    assert len(hostile) >= 20
    began = time.perf_counter()
    stored, spec = seen(dataset, modality, column)
    assert time.perf_counter() - began < 60
    there = [True] * GOOD + [False] * len(hostile)
    assert stored.present.tolist() == there + [True] * (len(stored.present) - len(there))
    assert not stored.values[~stored.present].any()
    told = {row: reason for row, name, reason in stored.problems if name == column}
    expected = {GOOD + place: why for place, (_, why) in enumerate(hostile.values()) if why != OUTSIDE}
    assert told.keys() == expected.keys()
    wrong = {row: told[row] for row, why in expected.items() if not any(part in told[row] for part in why.split("|"))}
    assert wrong == {}
    assert spec.offset is not None
    assert spec.offset.isfinite().all()
    if odd:
        assert stored.present[-odd:].all()


@pytest.mark.parametrize(("modality", "column", "hostile", "odd"), CASES)
def test_what_leads_out_of_the_root_is_counted(
    dataset: Dataset, modality: str, column: str, hostile: dict[str, tuple[Any, str]], odd: int
) -> None:
    outside = [GOOD + place for place, (_, why) in enumerate(hostile.values()) if why == OUTSIDE]
    assert dataset.frame[column].iloc[outside].isna().all()
    count = f"column '{column}': {len(outside)} of {len(dataset.frame)} cells are no path inside the root"
    assert any(note.startswith(count) for note in dataset.notes)


@pytest.mark.parametrize(("modality", "column", "hostile", "odd"), CASES)
def test_good_files_look_as_they_do_alone(
    dataset: Dataset, modality: str, column: str, hostile: dict[str, tuple[Any, str]], odd: int
) -> None:
    kind = registry.modalities.load(modality)
    columns = [each for each in dataset.schema if each.name == column]
    fitted = kind(columns, **{name: knob.center() for name, knob in kind.space.items() if not knob.per_member})
    fitted.fit(dataset.frame.iloc[:GOOD], dataset.targets[:GOOD], dataset.task, 0)
    together, alone = fitted.transform(dataset.frame), fitted.transform(dataset.frame.iloc[:GOOD])
    assert torch.equal(together.values[:GOOD], alone.values)
    assert alone.problems == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_missing_cell(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "a.png").chmod(0)
    for read in (load_image, load_sound):
        with pytest.raises(Unreadable, match="Permission denied"):
            read(str(tmp_path / "a.png"), 10)
