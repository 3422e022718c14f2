"""Raw cells of one column → numbers, words, truth values or dates; what cannot be read is missing."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.dates import parse_dates, to_nanoseconds
from autodl.errors import DataError

_PLAIN = (str, Real, Decimal, datetime.date, datetime.time, datetime.timedelta, np.generic, uuid.UUID, PurePath)
_PLAIN_OF_PANDAS = (pd.Period, pd.Interval, type(pd.NaT), type(pd.NA), type(None))
_REFUSED = (bytes, complex, np.complexfloating)
_CALLED = {"ndarray": "array", "complex": "complex number", "complex128": "complex number"}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "y", "t", "on", "1"), 1.0),
    **dict.fromkeys(("false", "no", "n", "f", "off", "0"), 0.0),
}
_DAY = np.timedelta64(1, "D")


def is_picture(cell: Any) -> bool:
    """Whether a cell holds an image itself: uint8, ``(height, width)`` or ``(height, width, 3)``."""
    if not isinstance(cell, np.ndarray) or cell.dtype != np.uint8 or cell.size == 0:
        return False
    return cell.ndim == 2 or (cell.ndim == 3 and cell.shape[2] == 3)


def is_sound(cell: Any) -> bool:
    """Whether a cell holds a sound itself: float or int16, one axis, 16,000 samples a second."""
    return isinstance(cell, np.ndarray) and cell.ndim == 1 and (cell.dtype.kind == "f" or cell.dtype == np.int16)


_ARRAYS: dict[str, Callable[[Any], bool]] = {"image": is_picture, "audio": is_sound}


def holds_arrays(cells: pd.Series, kind: str) -> bool:
    """Whether any cell of a column of that kind is an image or a sound itself."""
    return kind in _ARRAYS and cells.dtype == object and any(map(_ARRAYS[kind], cells))


def check_plain(cells: pd.Series, kind: str = "") -> None:
    """Refuse lists, dicts and other things that no column may hold.

    Args:
        cells: The column.
        kind: What it is: cells of an image column may be images, those of an audio column sounds.

    Raises:
        DataError: Some cells hold such things.
    """
    if cells.dtype.kind == "c":
        raise _not_plain(cells, complex, len(cells))
    if cells.dtype != object:
        return
    found = set(map(type, cells))
    refused = [each for each in found if not issubclass(each, _PLAIN + _PLAIN_OF_PANDAS) or issubclass(each, _REFUSED)]
    allowed = _ARRAYS.get(kind, lambda cell: False)
    for odd in refused:
        count = sum(type(cell) is odd and not allowed(cell) for cell in cells)
        if count:
            raise _not_plain(cells, odd, count)


def distinct(cells: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Return for each cell the place of its value (-1 where it is missing), and the different values."""
    # The array below the series: a series would have an index made of its values, which costs wide tables seconds.
    codes, values = pd.factorize(cells.to_numpy() if isinstance(cells.dtype, np.dtype) else cells.array)
    return np.asarray(codes), values.tolist() if isinstance(values, np.ndarray) else list(values)


def word(value: Any) -> str | None:
    """Return one cell as a string: None where it is blank, and 3 for 3.0."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def as_numbers(cells: pd.Series) -> np.ndarray:
    """Every cell as float64, NaN where it is no number; durations in days; infinity stays."""
    kind = cells.dtype.kind
    if kind in "biuf":
        return np.asarray(cells.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "m":
        return np.asarray(cells.to_numpy() / _DAY, dtype=np.float64)
    if kind == "M":
        return np.full(len(cells), np.nan)
    return _by_value(cells, _numbers)


def as_words(cells: pd.Series) -> np.ndarray:
    """Every cell as a string, None where it is missing or blank; whole numbers without a decimal point."""
    codes, values = distinct(cells)
    words = np.empty(len(values) + 1, dtype=object)  # the last one, None, is that of code -1
    words[:-1] = [word(value) for value in values]
    return np.asarray(words[codes])


def as_truth(cells: pd.Series) -> np.ndarray:
    """Every cell as 1.0 or 0.0, NaN where it is neither; true, yes, y, t, on and 1 are 1."""
    return _by_value(cells, lambda values: [_TRUTH.get(str(word(value)).strip().lower(), np.nan) for value in values])


def as_dates(cells: pd.Series, written_as: str = "") -> np.ndarray:
    """Every cell as datetime64[ns] (in UTC where it names a zone), NaT where it is no date.

    Args:
        cells: The column.
        written_as: The format of ``autodl.data.dates.find_format``; looked for again where empty.
    """
    if isinstance(cells.dtype, pd.PeriodDtype):
        cells = cells.dt.to_timestamp()
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        cells = cells.dt.tz_convert(None)
    if cells.dtype.kind == "M":
        return to_nanoseconds(cells)
    codes, values = distinct(cells)
    dates = parse_dates([word(value) for value in values], written_as)
    return np.asarray(np.append(dates, np.datetime64("NaT"))[codes])


def _by_value(cells: pd.Series, convert: Callable[[list[Any]], Any]) -> np.ndarray:
    """Convert each different value once."""
    codes, values = distinct(cells)
    return np.asarray(np.append(np.asarray(convert(values), dtype=np.float64), np.nan)[codes])


def _numbers(values: list[Any]) -> np.ndarray:
    numbers = np.full(len(values), np.nan)
    written = np.array([isinstance(value, str) for value in values], dtype=bool)
    texts = pd.Series([value for value in values if isinstance(value, str)], dtype=object)
    numbers[written] = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    for place in np.flatnonzero(~written):
        numbers[place] = _number(values[place])
    return numbers


def _number(value: Any) -> float:
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(days=1)
    if not isinstance(value, Real | Decimal | np.number | np.bool_):
        return float("nan")
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 1e308
        return float("inf")
    except ValueError:  # a signalling NaN of Decimal
        return float("nan")


def _not_plain(cells: pd.Series, kind: type, count: int) -> DataError:
    name = _CALLED.get(kind.__name__, kind.__name__)
    held = name if name == "bytes" else f"{name}s"
    if kind is np.ndarray:
        held += (
            " (an image is one of uint8, height × width or height × width × 3; a sound one of int16 or float, one axis)"
        )
    return DataError(
        f"column '{cells.name}' must hold numbers, words, dates or paths, however {count:,} of {len(cells):,} cells "
        f"hold {held}; drop it with --ignore {cells.name}"
    )
