"""Columns that steer the split: codes of groups, and moments in time as numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.data.cells import as_dates, as_numbers, as_words, check_plain
from autodl.errors import DataError


def group_codes(cells: pd.Series) -> np.ndarray:
    """Return one code for each different value; a missing one is a group of its own row."""
    check_plain(cells)
    codes = np.array(pd.factorize(as_words(cells))[0])
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def time_keys(cells: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return numbers that rise with time, -inf where the time is missing, and a note where some are.

    Raises:
        DataError: Most cells are neither dates nor numbers.
    """
    check_plain(cells)
    keys = np.array(as_numbers(cells))
    if np.isnan(keys).mean() > 0.5:
        dates = as_dates(cells)
        keys = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
    unknown = np.isnan(keys)
    if unknown.mean() > 0.5:
        raise DataError(
            f"--time-order must name a column of dates or numbers, however {int(unknown.sum()):,} of {len(cells):,} "
            f"cells of '{cells.name}' are neither; choose another"
        )
    keys[unknown] = -np.inf
    note = f"{int(unknown.sum()):,} rows have no time in '{cells.name}': taken as the first"
    return keys, (note,) if unknown.any() else ()
