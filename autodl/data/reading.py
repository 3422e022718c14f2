"""Any source → raw cells: a path by its suffix, a built-in set by its name, a frame as it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from autodl.data.builtin import TARGETS, read_builtin
from autodl.data.delimited import read_delimited
from autodl.data.folder import read_folder
from autodl.data.frames import from_frame
from autodl.data.json_lines import read_json_lines
from autodl.data.parquet import read_parquet
from autodl.data.table import Table
from autodl.data.unpacking import read_bytes
from autodl.errors import DataError, nearest

_DELIMITERS = {".csv": ",", ".tab": "\t", ".tsv": "\t", ".txt": ","}
_JSON = (".json", ".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")


def read_table(source: Any, as_text: Collection[str] = (), labelled: bool = True) -> Table:
    """Read a table.

    Args:
        source: A path, a folder of images, a built-in set's name, or a frame. A string that names a built-in set is
            one; a file called so is meant by ``./iris`` or ``pathlib.Path("iris")``.
        as_text: Columns of CSV files whose cells are kept as written.
        labelled: Whether the images of a folder must have labels.

    Raises:
        DataError: The source cannot be read.
    """
    if isinstance(source, str) and source in TARGETS:
        return read_builtin(source)
    if not isinstance(source, str | os.PathLike):
        return from_frame(source)
    path = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100  # resolve() would follow a symlink
    if path.is_dir():
        return read_folder(path, labelled)
    if not path.exists():
        raise _no_such_file(os.fspath(source), path)
    if not path.is_file():
        raise DataError(f"'{path}' must be a file or a folder, however it is neither; name another")
    return _read_file(path, as_text)


def _read_file(path: Path, as_text: Collection[str]) -> Table:
    name, data = read_bytes(path)
    frame, notes = _parse(name, data, f"'{path.name}'", as_text)
    frame.columns = [str(column) for column in frame.columns]
    return Table(frame, str(path), path.parent, hashlib.sha256(data).hexdigest(), notes=notes)


def _parse(name: str, data: bytes, where: str, as_text: Collection[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    suffix = PurePath(name).suffix.lower()
    if suffix in _DELIMITERS:
        return read_delimited(data, _DELIMITERS[suffix], where, as_text)
    if suffix in _JSON:
        return read_json_lines(data, where)
    if suffix in _PARQUET:
        return read_parquet(data, where)
    known = " ".join(sorted([*_DELIMITERS, *_JSON, *_PARQUET]))
    raise DataError(f"a table's name must end in one of {known}, or these with .gz .zip .zst, however {where} came")


def _no_such_file(written: str, path: Path) -> DataError:
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, [*TARGETS, *beside]).partition("known:")[0]
    return DataError(
        f"the data must be a file, a folder of images or a built-in set, however nothing is called '{written}'; "
        f"{hint}built-in sets: {', '.join(sorted(TARGETS))}"
    )
