"""Further rows of a table whose schema and task are known: to predict, to evaluate, or as given parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.casting import cast
from autodl.data.reading import read_table
from autodl.data.table import Table, listed, nearest_column
from autodl.data.targets import encode_targets, missing_targets
from autodl.data.weights import row_weights
from autodl.errors import DataError
from autodl.records import Schema, Task, column_names


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one source, cast, and their weights as they are written, if any; no target is missing."""

    frame: pd.DataFrame
    targets: np.ndarray
    fingerprint: str
    notes: tuple[str, ...]
    weights: np.ndarray | None = None


def load_rows(
    source: Any, schema: Schema, task: Task, root: str | Path | None = None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Read rows to predict or to evaluate on, cast by the schema of the training table.

    Args:
        source: As for ``load_dataset``; columns that the schema does not use are passed over.
        schema: The columns of the training table.
        task: The task of the training table.
        root: Where relative image paths start; the table's own folder where None.

    Returns:
        The rows (``frame.attrs["notes"]``: what was inferred, and cells that could not be read) and their targets,
        None where a target's column is not there. A missing target is -1 or NaN; its row stays.

    Raises:
        DataError: The source breaks a rule, lacks a column, or holds a class that was never seen.
    """
    table, frame, notes = _read(source, schema, task, root)
    frame.attrs["notes"] = [*table.notes, *notes]
    if not set(task.targets) <= set(table.frame.columns):
        return frame, None
    return frame, encode_targets(table.frame, task)


def load_part(file: str, schema: Schema, task: Task, root: str | None, weight: str | None = None) -> Part:
    """Read the rows that a user gives as one part of the split.

    Args:
        file: As for ``load_dataset``.
        schema: The columns of the training table.
        task: The task of the training table.
        root: Where relative image paths start.
        weight: The column that says how much a row counts, if any.

    Raises:
        DataError: As ``load_rows``, or no row has a target.
    """
    table, frame, notes = _read(file, schema, task, root)
    _check_columns(file, table, "the target", task.targets)
    _check_columns(file, table, "the column of --sample-weight", () if weight is None else (weight,))
    targets, raw = encode_targets(table.frame, task), table.frame
    missing = missing_targets(targets)
    if missing.all():
        raise DataError(
            f"'{file}' must have rows with a target, however all {len(targets):,} cells of {listed(task.targets)} are "
            "empty; give another file"
        )
    if missing.any():
        notes += (f"{int(missing.sum()):,} of {len(targets):,} rows have no usable target: left out",)
        frame, targets, raw = frame[~missing].reset_index(drop=True), targets[~missing], raw[~missing]
    name = Path(file).name
    told = tuple(f"{name}: {note}" for note in (*table.notes, *notes))
    return Part(frame, targets, table.fingerprint, told, None if weight is None else row_weights(raw[weight]))


def _check_columns(file: str, table: Table, what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in table.frame.columns:
            raise DataError(
                f"'{file}' must have {what}, however '{name}' is not there; {nearest_column(name, table.frame.columns)}"
            )


def _read(
    source: Any, schema: Schema, task: Task, root: str | Path | None
) -> tuple[Table, pd.DataFrame, tuple[str, ...]]:
    table = read_table(source, _as_text(schema, task), labelled=False)
    names = set(table.frame.columns)
    lacking = [column.name for column in schema if column.kind != "ignored" and column.name not in names]
    if lacking:
        raise DataError(
            f"'{table.source}' must have the columns of the training table, however {listed(lacking)} "
            f"{'is' if len(lacking) == 1 else 'are'} not there; {nearest_column(lacking[0], names)}"
        )
    frame, notes = cast(table.frame, schema, root if root is not None else table.root)
    return table, frame, notes


def _as_text(schema: Schema, task: Task) -> set[str]:
    """Columns that were words in the training table stay words, even where a new file holds only digits."""
    names = set(column_names(schema.of_kind("category", "text", "date", "image", "audio")))
    if task.is_classification and all(isinstance(label, str) for label in task.classes):
        names.add(task.target)
    return names
