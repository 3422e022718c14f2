"""From a source and what the user says to rows, schema, task and split: the room's front door."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.casting import cast
from autodl.data.columns import SAID, type_columns
from autodl.data.copies import copies_of_target
from autodl.data.keys import group_codes, time_keys
from autodl.data.options import DataOptions
from autodl.data.reading import read_table
from autodl.data.rows import Part, load_part, load_rows
from autodl.data.scales import with_scales
from autodl.data.several import infer_several
from autodl.data.split import SplitRule, split_notes, split_rows
from autodl.data.table import Table, listed, nearest_column
from autodl.data.targets import encode_targets, missing_targets
from autodl.data.task import infer_task
from autodl.data.weights import normalised, row_weights
from autodl.errors import DataError
from autodl.records import Column, Schema, Split, Task, column_names

__all__ = ["DataOptions", "Dataset", "load_dataset", "load_rows"]

MIN_ROWS = 10


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table that is ready to be learnt from.

    Attributes:
        frame: All rows, those of the validation and test files last, cast by the schema; index 0..rows-1; neither the
            target nor ignored columns are in it.
        schema: Every column but the target, ignored ones with their reason.
        task: What is predicted; its metric is chosen elsewhere.
        targets: ``(rows,)``: class index (int64) or number (float64); ``(rows, targets)`` where several are predicted.
        split: The three parts.
        source: A built-in set's name, an absolute path, or ``frame``.
        root: Where relative image paths start.
        fingerprint: sha256 over the content, so that a resumed run notices changed data.
        notes: What was inferred, left out or could not be read, a line each.
        rule: How the parts were made.
        weights: ``(rows,)``: how much each row counts, 1 on average; None where all count the same.
    """

    frame: pd.DataFrame
    schema: Schema
    task: Task
    targets: np.ndarray
    split: Split
    source: str
    root: Path | None
    fingerprint: str
    notes: tuple[str, ...]
    rule: SplitRule = field(default_factory=SplitRule)
    weights: np.ndarray | None = None


def load_dataset(source: Any, options: DataOptions) -> Dataset:
    """Read a source and decide columns, task and split.

    Args:
        source: A path, a folder of images, a built-in set's name, or a pandas or polars frame.
        options: What the user says.

    Raises:
        DataError: The source, or what is said of it, breaks a rule.
    """
    table = read_table(source, [name for name, kind in options.columns.items() if kind not in ("number", "boolean")])
    names = _target_names(table, options)
    _check_rows(len(table.frame), "rows")
    task, why = _task(table.frame, names, options)
    raw, targets, task_notes = _usable_rows(table.frame, task)
    root = table.root if options.root is None else Path(options.root).expanduser().absolute()
    schema = type_columns(raw, options)
    frame, cell_notes = cast(raw, schema, root)
    schema = _without_copies(schema, frame, targets, task, options)
    frame = frame[column_names([column for column in schema if column.kind != "ignored"])]
    notes = (*table.notes, f"task: {task.kind}, {why}", *task_notes, *_left_out(schema), *cell_notes)
    weight = options.sample_weight
    files = [file for file in (options.validation, options.test) if file is not None]
    parts = [
        Part(frame, targets, table.fingerprint, notes, None if weight is None else row_weights(raw[weight])),
        *(load_part(file, schema, task, options.root, weight) for file in files),
    ]
    rule, rule_notes = _split_rule(raw, options, parts)
    split = split_rows(targets, rule)
    targets = np.concatenate([part.targets for part in parts])
    return Dataset(
        frame=pd.concat([part.frame for part in parts], ignore_index=True) if files else frame,
        schema=schema,
        task=with_scales(task, targets[split.train], others=targets[split.validation]),
        targets=targets,
        split=split,
        source=table.source,
        root=root,
        fingerprint=_joined([part.fingerprint for part in parts]),
        notes=(*(note for part in parts for note in part.notes), *rule_notes, *split_notes(task, targets, split)),
        rule=rule,
        weights=_weights(parts, split),
    )


def _target_names(table: Table, options: DataOptions) -> tuple[str, ...]:
    chosen = options.target or ((table.target,) if table.target is not None else ())
    names = list(table.frame.columns)
    if not chosen:
        raise DataError(f"the target must be named, however none was; say --target with one of {listed(names)}")
    for name in chosen:
        if name not in names:
            raise DataError(f"the target must be a column, however '{name}' is none; {nearest_column(name, names)}")
        option = next((option for option, column in options.named() if column == name), None)
        if option:
            raise DataError(
                f"{option} must name a feature, however '{name}' is the target; drop it (--task sets its kind)"
            )
    return chosen


def _task(table: pd.DataFrame, names: tuple[str, ...], options: DataOptions) -> tuple[Task, str]:
    if len(names) == 1:
        return infer_task(table[names[0]], options.task, options.quantiles)
    return infer_several(table, names, options.task)


def _usable_rows(frame: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, np.ndarray, tuple[str, ...]]:
    """Return the features and targets of the rows that have every target."""
    targets = encode_targets(frame, task)
    missing = missing_targets(targets)
    features = frame.drop(columns=list(task.targets))
    if missing.any():
        features, targets = features[~missing].reset_index(drop=True), targets[~missing]
    _check_rows(len(targets), "rows with a target")
    note = f"{int(missing.sum()):,} of {len(frame):,} rows have no usable target {listed(task.targets)}: left out"
    return features, targets, (note,) if missing.any() else ()


def _check_rows(count: int, what: str) -> None:
    if count < MIN_ROWS:
        raise DataError(f"the table must have at least {MIN_ROWS} {what}, however {count} came; add rows")


def _without_copies(
    schema: Schema, frame: pd.DataFrame, targets: np.ndarray, task: Task, options: DataOptions
) -> Schema:
    """Return the schema with the columns left out that give the target away."""
    copies = copies_of_target(frame, schema.columns, targets, task)
    columns = []
    for column in schema:
        doubt = copies.get(column.name)
        if doubt is None or column.name in options.columns:
            columns.append(column)
        elif column.name in options.keep:
            columns.append(replace(column, reason=f"{column.reason}; kept {SAID}, though {doubt}"))
        else:
            columns.append(Column(column.name, "ignored", doubt))
    if all(column.kind == "ignored" for column in columns):
        raise DataError(
            f"at least one column must be of use, however {listed(copies)} gives the target away and all others are "
            "left out too; keep one with --keep NAME"
        )
    return Schema(tuple(columns))


def _left_out(schema: Schema) -> tuple[str, ...]:
    """A line for each reason that columns are left out for, those aside that the user named."""
    reasons: dict[str, list[str]] = {}
    for column in schema.of_kind("ignored"):
        if column.reason != SAID:
            reasons.setdefault(column.reason, []).append(column.name)
    return tuple(f"left out: {listed(names)} ({reason})" for reason, names in reasons.items())


def _split_rule(raw: pd.DataFrame, options: DataOptions, parts: list[Part]) -> tuple[SplitRule, tuple[str, ...]]:
    rows = iter([len(part.targets) for part in parts[1:]])
    groups = group_codes(raw[options.group]) if options.group is not None else None
    order, notes = time_keys(raw[options.time_order]) if options.time_order is not None else (None, ())
    rule = SplitRule(
        test_share=options.test_share,
        validation_share=options.validation_share,
        seed=options.seed,
        groups=groups,
        order=order,
        validation_rows=next(rows) if options.validation is not None else 0,
        test_rows=next(rows) if options.test is not None else 0,
    )
    return rule, notes


def _weights(parts: list[Part], split: Split) -> np.ndarray | None:
    weights = [part.weights for part in parts if part.weights is not None]
    return normalised(np.concatenate(weights), split.train) if weights else None


def _joined(fingerprints: list[str]) -> str:
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256("".join(fingerprints).encode()).hexdigest()
