"""Dates written as words: finding their format, and parsing by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

ISO = "ISO8601"
SHARE = 0.95
"""A column is of dates (or of numbers) where at least so many of its cells are."""

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (ISO, *(day + time for day, time in product(_DAYS, _TIMES)))
"""In the order of trust: the first of those that read the most cells is taken."""
_BARE = ("%Y%m%d", "%Y-%m", "%Y/%m", "%Y")
"""Formats that plain numbers have too: only where the user says that the column holds dates."""

_SEPARATORS = {form: set() if form == ISO else set(re.sub(r"%\w", "", form)) for form in FORMATS + _BARE}

_LIKE_A_DATE = re.compile(r"(?=.{6,40}$)(?=.*\d)[\w.+-]+[-/. ]\w+[-/., ].*")
_LIKE_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}.*)?")
_SAMPLE = 200
_WRITTEN_AS = "dates written as "
_FIRST, _PAST_LAST = np.datetime64("1678-01-01", "s"), np.datetime64("2262-01-01", "s")


def describe_format(form: str) -> str:
    """Return the words that tell the user how a column's dates are written."""
    return f"{_WRITTEN_AS}{form}"


def format_in(reason: str) -> str:
    """Return the format that a column's reason tells of; empty where it tells of none."""
    return reason.partition(_WRITTEN_AS)[2]


def find_format(words: Sequence[str], bare: bool = False) -> str | None:
    """Return the format that reads at least ``SHARE`` of some different words, or None.

    Args:
        words: Different cells of one column, none missing.
        bare: Whether plain numbers such as 1999 or 19991231 may be dates.
    """
    sample = words[:: max(1, len(words) // _SAMPLE)]
    formats = FORMATS + _BARE if bare else FORMATS
    if not bare and sum(_LIKE_A_DATE.fullmatch(word) is not None for word in sample) < SHARE * len(sample):
        return None
    seen = set("".join(sample))
    best, best_share = None, 0.0
    for form in formats:
        if not _SEPARATORS[form] <= seen or _share(sample, form) < SHARE / 2:
            continue
        share = _share(words, form)
        if share > best_share:
            best, best_share = form, share
        if share == 1.0:
            break
    return best if best_share >= SHARE else None


def parse_dates(words: Iterable[str | None], form: str = "") -> np.ndarray:
    """Return datetime64[ns], NaT where a word is missing, is not of that format or lies outside 1678 to 2261.

    Args:
        words: Cells.
        form: A format of ``find_format``; it is found first where empty.
    """
    values = list(words)
    form = form or find_format([value for value in values if value is not None], bare=True) or ISO
    if form == ISO:
        values = [value if value is not None and _LIKE_ISO.fullmatch(value.strip()) else None for value in values]
    cells = pd.Series([value and value.strip() for value in values], dtype=object)
    parsed = pd.to_datetime(cells, format=form, errors="coerce", utc=True)
    return to_nanoseconds(parsed.dt.tz_convert(None))


def to_nanoseconds(dates: pd.Series) -> np.ndarray:
    """Return dates of any unit as datetime64[ns]; those beyond its range become NaT."""
    values = dates.to_numpy(copy=True)
    values[(values < _FIRST) | (values >= _PAST_LAST)] = np.datetime64("NaT")
    return np.asarray(values.astype("datetime64[ns]"))


def _share(words: Sequence[str], form: str) -> float:
    return float(np.mean(~np.isnat(parse_dates(words, form)))) if words else 0.0
