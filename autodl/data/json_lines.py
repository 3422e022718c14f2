"""JSON lines (or one JSON array of objects) → raw cells."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from autodl.data.decoding import to_utf8
from autodl.data.table import shown
from autodl.errors import DataError


def read_json_lines(data: bytes, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows and what was inferred; a name that an object lacks is a missing cell.

    Raises:
        DataError: A line is no JSON object.
    """
    data, notes = to_utf8(data, where)
    if not data.strip():
        raise DataError(f"{where} must hold JSON objects, however it is empty; check that it was written whole")
    if data.lstrip().startswith(b"["):
        rows = _loads(data, where)
        number, odd = next(((n, row) for n, row in enumerate(rows, 1) if not isinstance(row, dict)), (0, None))
        if number:
            raise _no_object(where, f"entry {number}", odd)
    else:
        rows = []
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                rows.append(_loads(line, f"line {number} of {where}"))
                if not isinstance(rows[-1], dict):
                    raise _no_object(where, f"line {number}", rows[-1])
    try:
        frame = pd.DataFrame(rows)
    except UnicodeEncodeError as error:  # "\ud800" is JSON, but no text
        raise DataError(f"{where} must hold whole characters, however: {error.reason}; mend its \\u escapes") from error
    if frame.empty:
        raise DataError(f"{where} must hold rows, however there are none; check that it was written whole")
    return frame, notes


def _loads(text: bytes, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except KeyError as error:
        raise DataError(
            f"names in {where} must be unique, however {error} comes more than once; rename one of them"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} must be JSON, however: {error}; mend it") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return row


def _no_object(where: str, place: str, value: Any) -> DataError:
    return DataError(
        f'every row of {where} must be a JSON object such as {{"age": 3}}, however {place} holds '
        f"{type(value).__name__} '{shown(value)}'; mend it"
    )
