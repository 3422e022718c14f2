"""A folder with one sub-folder of images a class → a column of paths and a column of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from autodl.data.paths import IMAGE_SUFFIXES
from autodl.data.table import Table
from autodl.errors import DataError

IMAGE, LABEL = "image", "label"


def read_folder(folder: Path, labelled: bool = True) -> Table:
    """Return a row an image: ``image``, its path relative to the folder, and ``label``, its sub-folder's name.

    The fingerprint covers paths and sizes, so that a hundred thousand photographs are not read for it.

    Args:
        folder: Where the sub-folders are.
        labelled: Whether labels must be there; if not, images that lie in the folder itself are rows without a label.

    Raises:
        DataError: There is no image.
    """
    paths, others = [], 0
    for path in _files(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            paths.append(path.relative_to(folder))
        else:
            others += 1
    flat = [path for path in paths if len(path.parts) == 1]
    rows = [path for path in paths if len(path.parts) == 2] or ([] if labelled else flat)
    if not rows:
        raise _no_images(folder, flat)
    frame = pd.DataFrame({IMAGE: pd.Series([path.as_posix() for path in rows], dtype=object)})
    if len(rows[0].parts) == 2:
        frame[LABEL] = pd.Series([path.parts[0] for path in rows], dtype=object)
    notes = []
    if others:
        notes.append(f"{others:,} files in '{folder}' are no images by their suffix: left out")
    if len(rows) < len(paths):
        notes.append(f"{len(paths) - len(rows):,} images in '{folder}' do not lie in a sub-folder of it: left out")
    return Table(frame, str(folder), folder, _fingerprint(folder, rows), LABEL, tuple(notes))


def _files(folder: Path) -> Iterator[Path]:
    """The files of the folder and of its sub-folders, hidden ones aside, in the order of their names."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from (path for path in sorted(entry.iterdir()) if path.is_file() and path.name[0] != ".")
        elif entry.is_file():
            yield entry


def _no_images(folder: Path, flat: list[Path]) -> DataError:
    deeper = sorted({path.relative_to(folder).parts[0] for path in folder.glob("*/*/") if path.is_dir()})
    if flat:
        came = f"its {len(flat):,} images lie in the folder itself"
    elif deeper:
        came = f"{', '.join(deeper[:3])} hold folders; name one of them (and another as --test)"
    else:
        came = "there is none"
    return DataError(
        f"the folder '{folder}' must hold one sub-folder of images for each class, however {came}; "
        f"images end in {' '.join(sorted(IMAGE_SUFFIXES))}"
    )


def _fingerprint(folder: Path, rows: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in rows:
        digest.update(f"{path.as_posix()}\0{(folder / path).stat().st_size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
