"""Image cells → uint8 arrays of one size; whatever cannot be read becomes a reason, never an error.

How cells are gone through on threads is what sounds do too.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

T = TypeVar("T")

MEGAPIXELS = 25  # a larger image is not decoded
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # none that runs another program, as EPS does
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey of 16 bits
ROWS_PER_TASK = 64
SLOW = 0.001  # seconds a cell, from which threads pay
MOST_THREADS = 8


class Unreadable(Exception):
    """A cell that cannot be used; its text is the reason."""


def is_empty(cell: Any) -> bool:
    """Whether the user left the cell empty."""
    return not isinstance(cell, np.ndarray) and (cell is None or cell is pd.NA or cell != cell or cell == "")


def load(cell: Any, side: int) -> Image.Image:
    """Return the image upright and opaque, mode ``L`` or ``RGB``; a large JPEG only as large as ``side`` needs.

    Transparent parts show white, as on a page. 16 bits of grey become 8. Of an animation the first frame counts.

    Raises:
        Unreadable: Nothing that can be used came.
    """
    if isinstance(cell, np.ndarray):
        return _from_array(cell)
    if not isinstance(cell, str):
        raise Unreadable(f"must be a path or an array, however {type(cell).__name__} came")
    try:
        if not Path(cell).is_file():
            raise Unreadable("not a regular file" if Path(cell).exists() else "no such file")
        with Image.open(cell, formats=FORMATS) as image:
            _check_pixels(*image.size)
            image.draft(None, (2 * side, 2 * side))
            ImageOps.exif_transpose(image, in_place=True)
            return _plain(image)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"not an image of the formats {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(_too_large()) from None
    except Exception as error:  # decoders meet damaged bytes with errors of every kind
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreadable(f"cannot be read: {why[:80]}") from None


def is_grey(image: Image.Image) -> bool:
    """Whether it holds no colour, whatever its mode."""
    if image.mode == "L":
        return True
    red, green, blue = np.moveaxis(np.asarray(image), -1, 0)
    return bool((red == green).all() and (green == blue).all())


def resized(image: Image.Image, channels: int, height: int, width: int) -> np.ndarray:
    """Shape: → channels height width, uint8."""
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0)


def decode(cells: Sequence[Any], shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
    """Decode all cells.

    Returns:
        The images, zeros where missing; which are there; the rows that could not be used, each with its reason.

    Shape: → rows channels height width, rows.
    """
    out = np.zeros((len(cells), *shape), np.uint8)
    present = np.zeros(len(cells), bool)

    def take(row: int) -> None:
        out[row] = resized(load(cells[row], max(shape[1:])), *shape)
        present[row] = True

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata and of size, which is checked here
        problems = for_each(cells, take)
    return out, present, problems


def for_each(cells: Sequence[Any], take: Callable[[int], None]) -> list[tuple[int, str]]:
    """Call ``take`` with the row of every cell that is not empty, on several threads where that pays.

    Returns: the rows for which it raised ``Unreadable``, each with the reason.
    """

    def take_some(start: int) -> list[tuple[int, str]]:
        problems = []
        for row in range(start, min(start + ROWS_PER_TASK, len(cells))):
            if is_empty(cells[row]):
                continue
            try:
                take(row)
            except Unreadable as reason:
                problems.append((row, str(reason)))
        return problems

    parts = list(_in_threads(take_some, range(0, len(cells), ROWS_PER_TASK)))
    return [problem for part in parts for problem in part]


def _in_threads(task: Callable[[int], T], starts: Sequence[int]) -> Iterator[T]:
    """Run the tasks, in order: two here and, should the second be slow, the others on all cores.

    Decoders free the interpreter's lock while they work; for small files taking it back costs more than is won.
    """
    yield from map(task, starts[:1])  # loads the readers, so its time says nothing
    began = time.perf_counter()
    yield from map(task, starts[1:2])
    if time.perf_counter() - began < SLOW * ROWS_PER_TASK:
        yield from map(task, starts[2:])
    else:
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            yield from pool.map(task, starts[2:])


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)) or array.ndim < 2:
        shape = " × ".join(map(str, array.shape))
        raise Unreadable(f"an array must be uint8 (H, W) or (H, W, 3), however {array.dtype} {shape} came")
    _check_pixels(array.shape[1], array.shape[0])
    return Image.fromarray(array)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MEGAPIXELS * 1_000_000:
        raise Unreadable(_too_large())
    if not width * height:
        raise Unreadable("holds no pixels")


def _too_large() -> str:
    return f"larger than {MEGAPIXELS} megapixels"


def _plain(image: Image.Image) -> Image.Image:
    """Decode to ``L`` or ``RGB``."""
    image.load()
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise Unreadable("pixels are real numbers of no known range")
    if image.mode in DEEP:
        deep = np.asarray(image).astype(np.int64).clip(0, 65_535)
        return Image.fromarray((deep >> 8).astype(np.uint8))
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")
