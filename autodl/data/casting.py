"""Raw cells → cells as the schema says, the same way for every table: what cannot be read is missing, and counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.cells import as_dates, as_numbers, as_truth, as_words, check_plain
from autodl.data.dates import format_in
from autodl.data.paths import Root
from autodl.data.table import shown
from autodl.records import Column, Schema


def cast(frame: pd.DataFrame, schema: Schema, root: str | Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the columns that are not ignored, cast, and a line for each column with cells that could not be read.

    Numbers are float64; booleans float64 0, 1; dates datetime64[ns]; categories and texts strings or None;
    images and sounds absolute paths, arrays or None. What the user left empty is not told of.

    Args:
        frame: Raw cells, with all columns that are not ignored.
        schema: What each column is.
        root: The folder that relative paths start at and must stay in.

    Raises:
        DataError: A column holds lists, or a path leads out of the root.
    """
    folder = Root(root) if schema.of_kind("image", "audio") else None
    columns: dict[str, Any] = {}
    notes: list[str] = []
    for column in schema:
        if column.kind == "ignored":
            continue
        cells = frame[column.name]
        check_plain(cells, column.kind)
        if column.kind in ("image", "audio") and folder is not None:
            values, problems = _paths(cells, column, folder)
        else:
            values, problems = _values(cells, column)
        columns[column.name] = values if values.dtype != object else pd.Series(values, dtype=object)
        notes.extend(f"column '{column.name}': {problem}" for problem in problems)
    # The constructor copies: one block for each dtype, and nothing shared with the user's frame.
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame))), tuple(notes)


def _values(cells: pd.Series, column: Column) -> tuple[np.ndarray, list[str]]:
    if column.kind in ("category", "text"):
        return as_words(cells), []
    problems = []
    infinite = np.zeros(len(cells), dtype=bool)
    if column.kind == "number":
        values = as_numbers(cells)
        infinite = np.isinf(values)
        if infinite.any():
            values = np.where(infinite, np.nan, values)
            problems.append(_missing(infinite, "hold infinity"))
    elif column.kind == "boolean":
        values = as_truth(cells)
    else:
        values = as_dates(cells, format_in(column.reason))
    lost = np.isnan(values) & ~infinite  # NaT is NaN too
    if lost.any():
        lost &= ~_blank(cells)
    if lost.any():
        example = shown(cells.iloc[int(np.flatnonzero(lost)[0])])
        problems.append(_missing(lost, f"cannot be read as {column.kind}, such as '{example}',"))
    return values, problems


def _blank(cells: pd.Series) -> np.ndarray:
    blank = cells.isna().to_numpy()
    if cells.dtype.kind == "O":
        blank = blank | np.array([text is None for text in as_words(cells)])
    return np.asarray(blank)


def _paths(cells: pd.Series, column: Column, root: Root) -> tuple[np.ndarray, list[str]]:
    resolved = np.full(len(cells), None, dtype=object)
    outside, unusable = np.zeros(len(cells), dtype=bool), np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        if isinstance(cell, str | os.PathLike):
            if text := str(cell).strip():
                resolved[row] = root.resolve(text, column.name)
                outside[row] = resolved[row] is None
        elif isinstance(cell, np.ndarray):
            resolved[row] = cell
        else:
            unusable[row] = not pd.isna(cell)
    problems = []
    if outside.any():
        problems.append(_missing(outside, "are no path inside the root (a symlink leads out of it)"))
    if unusable.any():
        thing = "an image" if column.kind == "image" else "a sound"
        problems.append(_missing(unusable, f"hold neither a path nor {thing}"))
    return resolved, problems


def _missing(cells: np.ndarray, what: str) -> str:
    return f"{int(cells.sum()):,} of {len(cells):,} cells {what} and count as missing"
