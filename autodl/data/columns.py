"""The schema: each column's kind from its cells, over which stands what the user says."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.data.cells import as_dates, as_numbers, as_truth, as_words, check_plain, holds_arrays
from autodl.data.dates import describe_format, find_format, format_in
from autodl.data.kinds import examine
from autodl.data.options import DataOptions
from autodl.data.table import nearest_column
from autodl.errors import DataError
from autodl.records import Column, ColumnKind, Schema

SAID = "as you said"
"""The reason of what the user decides."""


def type_columns(frame: pd.DataFrame, options: DataOptions) -> Schema:
    """Decide what each column is.

    Args:
        frame: Raw cells, without the target.
        options: What the user says.

    Raises:
        DataError: A column that is named does not exist, holds no cell of the kind that is said, or holds lists.
    """
    for option, name in options.named():
        if name not in frame.columns:
            raise DataError(
                f"{option} must name a column, however '{name}' is none; {nearest_column(name, frame.columns)}"
            )
    schema = Schema(tuple(_type(cells, options) for _, cells in frame.items()))
    if not any(column.kind != "ignored" for column in schema):
        raise DataError(
            f"at least one column must be of use, however all {len(schema.columns)} are left out "
            f"('{schema.columns[0].name}': {schema.columns[0].reason}); keep one with --keep NAME"
            if schema.columns
            else "the table must have a column beside the target, however it has none; add features"
        )
    return schema


def _type(cells: pd.Series, options: DataOptions) -> Column:
    name = str(cells.name)
    if name == options.sample_weight:
        return Column(name, "ignored", "it says how much a row counts")
    if name in options.columns:
        return _said(cells, options.columns[name])
    if name in options.ignore:
        return Column(name, "ignored", SAID)
    if name == options.group and name not in options.keep:
        return Column(name, "ignored", "its groups are kept whole in the split")
    finding = examine(cells)
    if not finding.doubt:
        return Column(name, finding.kind, finding.reason)
    if name in options.keep:
        return Column(name, finding.kind, f"kept {SAID}, though {finding.doubt}; {finding.reason}")
    return Column(name, "ignored", finding.doubt)


def _said(cells: pd.Series, kind: ColumnKind) -> Column:
    name = str(cells.name)
    if kind == "ignored":
        return Column(name, kind, SAID)
    check_plain(cells, kind)
    if holds_arrays(cells, kind):
        return Column(name, kind, SAID)
    reason, readable = SAID, np.zeros(0, dtype=bool)
    if kind == "number":
        readable = np.isfinite(as_numbers(cells))
    elif kind == "boolean":
        readable = ~np.isnan(as_truth(cells))
    elif kind == "date":
        if cells.dtype.kind != "M" and not isinstance(cells.dtype, pd.PeriodDtype):
            form = find_format([text for text in pd.unique(as_words(cells)) if text is not None], bare=True)
            reason += f"; {describe_format(form)}" if form else ""
        readable = ~np.isnat(as_dates(cells, format_in(reason)))
    else:
        readable = np.array([text is not None for text in as_words(cells)])
    if not readable.any():
        raise DataError(
            f"column '{name}' must hold cells that can be read as {kind}, as --column {name}={kind} says, however "
            f"none of {len(cells):,} can; choose another kind or drop it with --ignore {name}"
        )
    return Column(name, kind, reason)
