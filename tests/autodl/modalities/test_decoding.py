from __future__ import annotations

import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autodl.modalities import _decoding
from autodl.modalities._decoding import Unreadable, decode, is_empty, is_grey, load, resized

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def save(image: Image.Image, path: Path, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


def png_header(path: Path, width: int, height: int) -> str:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)))
    return str(path)


def reason(cell: Any) -> str:
    with pytest.raises(Unreadable) as caught:
        load(cell, 64)
    return str(caught.value)


def pixel(path: str, column: int = 0, row: int = 0) -> tuple[int, ...]:
    shown = np.asarray(load(path, 64).convert("RGB"))
    return tuple(shown[row, column].tolist())


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "webp", "tiff"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_cut_off_file_is_no_image(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(noise(60, 60)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert reason(str(path)).startswith("not an image" if share == 0 else ("cannot be read", "not an image"))


def test_a_text_called_image_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    assert reason(str(tmp_path / "a.png")).startswith("not an image of the formats PNG")


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(60, 60)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    assert reason(str(path)).startswith("cannot be read: ")


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    assert reason(str(tmp_path / "none.png")) == "no such file"
    assert reason(str(tmp_path)) == "not a regular file"
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    assert reason(str(tmp_path / "pipe.png")) == "not a regular file"
    assert reason("/" + "a" * 300) == "cannot be read: File name too long"
    assert reason("a\0b.png") == "no such file"
    assert reason(7).startswith("must be a path or an array, however int came")


@pytest.mark.parametrize("side", [5001, 10_000, 20_000, 60_000])
def test_size_is_checked_before_decoding(side: int, tmp_path: Path) -> None:
    """Also where Pillow warns, whatever is made of warnings, and where it refuses."""
    path = png_header(tmp_path / "a.png", side, side)
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)  # type: ignore[arg-type]
            assert reason(path) == "larger than 25 megapixels"


def test_twenty_five_megapixels_are_taken() -> None:
    assert load(np.zeros((5000, 5000), np.uint8), 64).size == (5000, 5000)
    assert reason(np.zeros((5000, 5001), np.uint8)) == "larger than 25 megapixels"


def test_formats_that_run_other_programs_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert reason(str(tmp_path / "a.eps")).startswith("not an image")


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 4), np.nan),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_arrays_of_other_kinds_are_refused(array: np.ndarray) -> None:
    assert reason(array).startswith("an array must be uint8 (H, W) or (H, W, 3), however ")


def test_an_array_without_pixels_is_refused() -> None:
    assert reason(np.zeros((0, 4), np.uint8)) == "holds no pixels"


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, pd.NaT, ""])
def test_empty_cells(cell: Any) -> None:
    assert is_empty(cell)


def test_what_is_not_empty() -> None:
    assert not is_empty("a.png")
    assert not is_empty(np.zeros((2, 2), np.uint8))


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (4, 4), RED), tmp_path / "a.jpg", format="PNG")
    assert pixel(path) == RED


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in (RED, GREEN, BLUE)]
    path = save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load(path, 64).size == (8, 6)
    assert pixel(path) == RED


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 32_768, 65_535]], np.uint16)
    png = save(Image.fromarray(deep), tmp_path / "a.png")
    (tmp_path / "a.pgm").write_bytes(b"P5 5 1 65535\n" + deep.astype(">u2").tobytes())
    for path in (png, str(tmp_path / "a.pgm")):
        assert np.asarray(load(path, 64)).tolist() == [[0, 0, 1, 128, 255]]


def test_real_numbers_have_no_known_range(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.ones((4, 4), np.float32)), tmp_path / "a.tiff")
    assert reason(path) == "pixels are real numbers of no known range"


def test_cmyk_is_shown_in_its_colours(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (16, 16), RED).convert("CMYK"), tmp_path / "a.jpg", quality=100)
    assert pixel(path) == pytest.approx(RED, abs=4)


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (2, (15, 0)), (3, (15, 31)), (6, (15, 0)), (8, (0, 31))]
)
def test_images_are_turned_upright(orientation: int, corner: tuple[int, int], tmp_path: Path) -> None:
    """A red quarter, stored at the top left, is shown where the camera's note says."""
    turned = orientation in (6, 8)
    height, width = (16, 32) if turned else (32, 16)
    stored = np.zeros((height, width, 3), np.uint8)
    stored[: height // 2, : width // 2] = RED
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(stored), tmp_path / "a.png", exif=exif)
    assert load(path, 64).size == (16, 32)
    shown = [c for c in [(0, 0), (15, 0), (0, 31), (15, 31)] if pixel(path, *c) == RED]
    assert shown == [corner]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_show_white(mode: str, tmp_path: Path) -> None:
    half = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    half.paste((0, 0, 0, 0), (2, 0, 4, 2))
    image = half.convert("LA" if mode == "LA" else "RGBA")
    if mode == "P":
        image = half.quantize(4)
    path = save(image, tmp_path / "a.png")
    assert pixel(path, 0) == (0, 0, 0)
    assert pixel(path, 3) == (255, 255, 255)


def test_a_transparent_colour_shows_white(tmp_path: Path) -> None:
    pixels = np.array([[RED, BLUE]], np.uint8)
    path = save(Image.fromarray(pixels), tmp_path / "a.png", transparency=BLUE)
    assert pixel(path, 0) == RED
    assert pixel(path, 1) == (255, 255, 255)


@pytest.mark.parametrize(("mode", "expected"), [("1", "L"), ("L", "L"), ("P", "RGB"), ("RGB", "RGB")])
def test_plain_modes(mode: str, expected: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(noise(4, 4, 1)[..., None], 3, 2)).convert(mode)
    found = load(save(image, tmp_path / "a.png"), 64)
    assert found.mode == expected
    assert is_grey(found)
    assert np.array_equal(np.asarray(found.convert("L")), np.asarray(image.convert("L")))


def test_colour_is_told_from_grey() -> None:
    grey = np.full((3, 3, 3), 7, np.uint8)
    assert is_grey(load(grey, 64))
    grey[2, 2, 2] = 8
    assert not is_grey(load(grey, 64))


def test_a_large_jpeg_is_not_decoded_whole(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.full((1600, 3200, 3), 90, np.uint8)), tmp_path / "a.jpg")
    small = load(path, 64)
    assert small.size == (400, 200)
    assert abs(resized(small, 3, 32, 64).astype(int) - 90).max() <= 1


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    pixels = noise(5, 7)
    assert np.array_equal(resized(load(pixels, 64), 3, 5, 7), np.moveaxis(pixels, -1, 0))


def test_shrinking_averages() -> None:
    board = np.indices((8, 8)).sum(0) % 2 * 255
    assert abs(resized(load(board.astype(np.uint8), 64), 1, 2, 2).astype(int) - 128).max() <= 8


def test_decode_goes_on_after_broken_cells(tmp_path: Path) -> None:
    good = save(Image.fromarray(noise(6, 4)), tmp_path / "good.png")
    huge = png_header(tmp_path / "huge.png", 10_000, 10_000)
    found, present, problems = decode([good, None, huge, noise(6, 4), str(tmp_path)], (3, 6, 4))
    assert present.tolist() == [True, False, False, True, False]
    assert np.array_equal(found[0], found[3])
    assert not found[[1, 2, 4]].any()
    assert problems == [(2, "larger than 25 megapixels"), (4, "not a regular file")]


def test_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [save(Image.fromarray(noise(9 + row % 5, 9)), tmp_path / f"{row}.png") for row in range(150)]
    cells[77] = str(tmp_path)
    alone = decode(cells, (3, 9, 9))
    seen = set()

    def watched(cell: Any, side: int) -> Image.Image:
        seen.add(threading.get_ident())
        return load(cell, side)

    monkeypatch.setattr(_decoding, "SLOW", 0.0)
    monkeypatch.setattr(_decoding, "load", watched)
    together = decode(cells, (3, 9, 9))
    assert threading.get_ident() in seen
    assert len(seen) > 1
    for first, second in zip(alone[:2], together[:2], strict=True):
        assert np.array_equal(first, second)
    assert alone[2] == together[2] == [(77, "not a regular file")]
