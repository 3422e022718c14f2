"""Parquet → raw cells, by pyarrow, which the extra ``parquet`` installs."""

from __future__ import annotations

import importlib.util
import io

import pandas as pd

from autodl.data import unpacking
from autodl.data.table import check_names
from autodl.errors import DataError

_CELL_BYTES = 8


def read_parquet(data: bytes, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows; nothing is inferred.

    Raises:
        DataError: pyarrow is not installed, or the file is damaged or claims too many cells.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"pyarrow must be installed to read {where}, however it is not; pip install 'torch-autodl[parquet]'"
        )
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        check_names(file.schema_arrow.names, where)
        cells = file.metadata.num_rows * file.metadata.num_columns
        if cells * _CELL_BYTES > unpacking.SIZE_LIMIT:  # a few bytes may claim a billion equal rows
            raise DataError(
                f"{where} must hold at most {unpacking.SIZE_LIMIT // _CELL_BYTES:,} cells, however {cells:,} came; "
                "split it"
            )
        frame = file.read().to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{where} must be a whole Parquet file, however: {told}; get it again") from error
    if frame.empty:
        raise DataError(f"{where} must hold rows, however there are none; check that it was written whole")
    return frame.reset_index(drop=True), ()
