"""CSV and TSV → raw cells: the delimiter is checked against the file, the header against itself."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Collection
from itertools import islice
from typing import Any

import pandas as pd

from autodl.data.decoding import to_utf8
from autodl.data.table import check_names, shown
from autodl.errors import DataError

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null")
"""Cells that mean "nothing here". ``None`` and ``?`` are not among them: they may be classes."""

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE_ROWS = 50
_SAMPLE_BYTES = 2**20


def read_delimited(
    data: bytes, delimiter: str, where: str, as_text: Collection[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows and what was inferred.

    Args:
        data: The file's bytes.
        delimiter: What the file's name promises; another one is taken where the file plainly uses it.
        where: What to call the file in messages.
        as_text: Columns whose cells are kept as written (``007`` stays ``007``).

    Raises:
        DataError: The bytes are no such table.
    """
    data, notes = to_utf8(data, where)
    rows = _sample(data, delimiter)
    if not data.strip():
        raise DataError(f"{where} must hold a header and rows, however it is empty; check that it was written whole")
    found = _delimiter(data, delimiter)
    if found != delimiter:
        notes += (f"{where} is delimited by {_NAMES[found]}, not by {_NAMES[delimiter]}",)
        rows = _sample(data, found)
    options: dict[str, Any] = {"sep": found, "skipinitialspace": True, "keep_default_na": False, "index_col": False}
    if found != "," and _decimal_commas(rows):
        options["decimal"] = ","
        notes += (f"numbers in {where} have decimal commas",)
    names, unnamed = _header(data, options, where)
    if unnamed:
        notes += (f"{unnamed:,} columns of {where} have no name: called column_1, column_2 … by their position",)
    options |= {"names": names, "header": 0, "na_values": list(MISSING), "low_memory": False}
    frame = _parse(data, where, **options, dtype={name: "str" for name in as_text if name in set(names)})
    if frame.empty:
        raise DataError(f"{where} must hold rows below its header, however there are none; check that it is whole")
    return frame, notes


def _header(data: bytes, options: dict[str, Any], where: str) -> tuple[list[str], int]:
    row = _parse(data, where, **options, header=None, nrows=1, dtype="str")
    written = [str(cell).strip() for cell in row.iloc[0]]
    names = [name or f"column_{position}" for position, name in enumerate(written, 1)]
    check_names(names, where)
    return names, written.count("")


def _parse(data: bytes, where: str, **options: Any) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more cells in a row than names: data would go
            frame: pd.DataFrame = pd.read_csv(io.BytesIO(data), encoding="utf-8", **options)
            return frame
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        told = shown(str(error).removeprefix("Error tokenizing data. C error: "), 200).rstrip(".")
        raise DataError(
            f"every row of {where} must have one cell for each name of the header, however: {told}; mend that row"
        ) from error


def _delimiter(data: bytes, expected: str) -> str:
    scores = {delimiter: _columns(_sample(data, delimiter)) for delimiter in _NAMES}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return expected if scores[expected] > 1 or scores[best] <= 1 else best


def _columns(rows: list[list[str]]) -> int:
    """How many columns the sample has, or 0 where its rows do not agree with its header."""
    if not rows:
        return 0
    alike = sum(len(row) == len(rows[0]) for row in rows)
    return len(rows[0]) if alike >= 0.9 * len(rows) else 0


def _sample(data: bytes, delimiter: str) -> list[list[str]]:
    text = data[:_SAMPLE_BYTES].decode(errors="ignore")
    rows: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        rows.extend(islice(filter(None, reader), _SAMPLE_ROWS + 1))
    except csv.Error:  # a cell longer than the module's limit: what came before it is enough
        pass
    cut = len(data) > _SAMPLE_BYTES and len(rows) <= _SAMPLE_ROWS
    return rows[:-1] if cut and len(rows) > 1 else rows


def _decimal_commas(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows[1:] for cell in row]
    commas = sum(re.fullmatch(r"[-+]?\d+,\d+", cell) is not None for cell in cells)
    points = sum(re.fullmatch(r"[-+]?\d+\.\d+", cell) is not None for cell in cells)
    return commas > 0 and points == 0
