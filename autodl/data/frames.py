"""Frames in memory → raw cells: pandas as it is, polars and others through narwhals."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.table import Table, check_names
from autodl.errors import DataError


def from_frame(source: Any) -> Table:
    """Return a frame's rows; the frame itself stays as it is. Relative image paths start in the working directory.

    Raises:
        DataError: It is no frame, has no rows, or its column names are not unique.
    """
    frame = source if isinstance(source, pd.DataFrame) else _through_narwhals(source)
    if frame.columns.nlevels > 1:
        raise DataError(
            f"columns of the frame must have plain names, however they have {frame.columns.nlevels} levels; "
            "flatten them: frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
        )
    names = [str(name) for name in frame.columns]
    check_names(names, "the frame")
    if frame.empty:
        raise DataError(f"the frame must hold rows and columns, however its shape is {frame.shape}; fill it")
    frame = frame.set_axis(names, axis=1).reset_index(drop=True)
    return Table(frame, "frame", Path.cwd(), fingerprint(frame))


def fingerprint(frame: pd.DataFrame) -> str:
    """sha256 over names and cells."""
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(f"{name}\0".encode(errors="surrogatepass"))
        try:
            digest.update(pd.util.hash_pandas_object(frame[name], index=False).to_numpy().tobytes())
        except (TypeError, UnicodeEncodeError):  # cells that pandas cannot hash: arrays, lists, lone surrogates
            for cell in frame[name]:
                digest.update(_cell_bytes(cell))
    return digest.hexdigest()


def _cell_bytes(cell: Any) -> bytes:
    if isinstance(cell, np.ndarray) and cell.dtype != object:
        return f"{cell.dtype}{cell.shape}".encode() + np.ascontiguousarray(cell).tobytes()
    return repr(cell).encode(errors="backslashreplace")


def _through_narwhals(source: Any) -> pd.DataFrame:
    import narwhals

    try:
        frame = narwhals.from_native(source)
    except TypeError as error:
        raise DataError(
            f"the data must be a path, a built-in set's name or a data frame, however {type(source).__name__} came; "
            "make a frame of it with pandas.DataFrame"
        ) from error
    if isinstance(frame, narwhals.LazyFrame):
        frame = frame.collect()
    # Column by column, as polars' own to_pandas needs pyarrow.
    return pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
