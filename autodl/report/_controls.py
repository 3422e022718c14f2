"""What a reader can change in a row: for each column the cells to choose from, and what a model sees of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from autodl.records import Column
from autodl.report.style import format_value

if TYPE_CHECKING:
    import pandas as pd

Transform: TypeAlias = Callable[["pd.DataFrame"], Mapping[str, Tensor]]
"""Rows of the user's table → what a model sees of them, row by row; inputs that no control changes may be left out."""

KINDS = ("number", "category", "boolean", "date")
MOST_POSITIONS = 41
ROWS_AT_ONCE = 4096
DAY = 86_400  # seconds


@dataclass(frozen=True, eq=False)
class Control:
    """One column.

    Attributes:
        column: Its name.
        kind: One of ``KINDS``.
        cells: One a position: numbers and dates ascending, others by name, a missing one last.
        labels: The same as text.
        numbers: Where positions of numbers and dates (in days) lie on an axis; NaN for a missing cell; empty of others.
        current: Each row's own position.
        missing: Position of the missing cell; None where no cell is.
        entries: Input name → flat positions of the entries that the column decides.
        features: Input name → what these entries are at each position. Shape: positions entries
    """

    column: str
    kind: str
    cells: pd.Series
    labels: tuple[str, ...]
    numbers: tuple[float, ...]
    current: tuple[int, ...]
    missing: int | None = None
    entries: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


def controls_for(
    rows: pd.DataFrame,
    background: pd.DataFrame,
    transform: Transform,
    columns: Sequence[Column],
    most: int = MOST_POSITIONS,
) -> list[Control]:
    """Return a control for each number, category, boolean and date that takes more than one value.

    Positions are cells of the rows or of the background: quantiles of numbers and dates, the most frequent categories,
    and in any case each row's own cell.

    Args:
        rows: The rows that will be changed.
        background: Rows that tell what is usual.
        transform: Makes what the model sees.
        columns: What each column of these is.
        most: Positions of one control at most, unless the rows' own cells are more.
    """
    import pandas as pd

    found = []
    for column in columns:
        if column.kind in KINDS and column.name in rows:
            beside = [background[column.name]] if column.name in background else []
            cells = pd.concat([rows[column.name], *beside], ignore_index=True)
            control = _positions(column, cells, len(rows), most)
            found += [control] if len(control) > 1 else []
    return _seen(found, rows.iloc[:1], transform) if found else []


def own_positions(controls: Sequence[Control], row: int) -> np.ndarray:
    """Where a row's controls stand at first. Shape: → controls."""
    return np.array([control.current[row] for control in controls])


def one_at_a_time(controls: Sequence[Control], own: np.ndarray) -> np.ndarray:
    """One control after another takes each of its positions, the others their own. Shape: → changes controls."""
    lengths = [len(control) for control in controls]
    changes = np.tile(own, (sum(lengths), 1))
    changes[np.arange(sum(lengths)), np.repeat(np.arange(len(controls)), lengths)] = np.concatenate(
        [np.arange(length) for length in lengths]
    )
    return changes


def changed(row: pd.DataFrame, controls: Sequence[Control], positions: np.ndarray) -> pd.DataFrame:
    """One row again and again, its controls at some positions. Shape of ``positions``: times controls."""
    frame = row.iloc[np.zeros(len(positions), dtype=int)].reset_index(drop=True)
    cells = {control.column: control.cells.take(positions[:, at]) for at, control in enumerate(controls)}
    return frame.assign(**{name: each.reset_index(drop=True) for name, each in cells.items()})


def transformed(frame: pd.DataFrame, transform: Transform) -> dict[str, Tensor]:
    """What the model sees, some rows at a time."""
    parts = [transform(frame.iloc[start : start + ROWS_AT_ONCE]) for start in range(0, len(frame), ROWS_AT_ONCE)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def assembled(row: Mapping[str, Tensor], controls: Sequence[Control], positions: np.ndarray) -> dict[str, np.ndarray]:
    """What the page puts together: the row's entries, those of each control at its position. Shape: → {input: n}."""
    found = {name: x.flatten().cpu().numpy().copy() for name, x in row.items()}
    for control, position in zip(controls, positions, strict=True):
        for name, entries in control.entries.items():
            found[name][entries] = control.features[name][position]
    return found


def _positions(column: Column, cells: pd.Series, rows: int, most: int) -> Control:
    """The control but for what the model sees."""
    ordered = column.kind in ("number", "date")
    gone = cells.isna().to_numpy()
    keys: list[Any] = _numbers(cells, column.kind) if ordered else [str(each) for each in cells]
    keys = [None if empty or key != key else key for key, empty in zip(keys, gone, strict=True)]
    wanted = (_spread if ordered else _frequent)(keys, rows, most)
    wanted += [None] if None in keys else []
    first = {key: at for at, key in reversed(list(enumerate(keys)))}
    place = {key: position for position, key in enumerate(wanted)}
    picked = cells.take([first[key] for key in wanted]).reset_index(drop=True)
    return Control(
        column=column.name,
        kind=column.kind,
        cells=picked,
        labels=tuple("(missing)" if key is None else _label(picked.iloc[at]) for at, key in enumerate(wanted)),
        numbers=tuple(np.nan if key is None else key for key in wanted) if ordered else (),
        current=tuple(place[key] for key in keys[:rows]),
        missing=place.get(None),
    )


def _numbers(cells: pd.Series, kind: str) -> list[float]:
    """Cells on an axis; NaN for what is none. Shape: → rows."""
    import pandas as pd

    if kind == "number":
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return list(np.where(np.isinf(numbers), np.nan, numbers).tolist())
    dates = pd.to_datetime(cells, errors="coerce").to_numpy(dtype="datetime64[s]")
    return list(np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / DAY).tolist())


def _spread(keys: Sequence[float | None], rows: int, most: int) -> list[Any]:
    """All numbers, or as many at evenly spaced ranks as there is room for beside the rows' own; ascending."""
    known = np.sort(np.array([key for key in keys if key is not None]))
    if len(set(known)) <= most:
        return sorted(set(known.tolist()))
    own = {key for key in keys[:rows] if key is not None}
    ranks = np.linspace(0, len(known) - 1, max(2, most - len(own))).round().astype(int)
    return sorted(own | set(known[ranks].tolist()))


def _frequent(keys: Sequence[str | None], rows: int, most: int) -> list[Any]:
    """The rows' own names and the most frequent others, by name."""
    own = {key for key in keys[:rows] if key is not None}
    others = [key for key, _ in Counter(keys).most_common() if key is not None and key not in own]
    return sorted([*own, *others[: max(0, most - len(own))]], key=_natural)


def _natural(name: str) -> tuple[list[Any], str]:
    """2 comes before 10."""
    parts = re.split("([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _label(cell: Any) -> str:
    """As the user wrote it; of a number the fewest digits that tell it from every other."""
    if isinstance(cell, float | np.floating):
        return str(int(cell)) if float(cell).is_integer() and abs(float(cell)) < 1e15 else str(cell)
    if isinstance(cell, np.integer) or type(cell) is int:
        return str(int(cell))
    return format_value(cell) or "(empty)"


def _seen(controls: Sequence[Control], row: pd.DataFrame, transform: Transform) -> list[Control]:
    """The controls with what the model sees: whatever differs between the positions of a column is the column's."""
    changes = changed(row, controls, one_at_a_time(controls, own_positions(controls, 0)))
    seen = {name: x.flatten(1).cpu().numpy() for name, x in transformed(changes, transform).items()}
    found, start = [], 0
    for control in controls:
        own = {name: x[start : start + len(control)] for name, x in seen.items()}
        start += len(control)
        entries = {name: np.flatnonzero(_differs(x)) for name, x in own.items()}
        entries = {name: each for name, each in entries.items() if len(each)}
        found.append(
            replace(control, entries=entries, features={name: own[name][:, at] for name, at in entries.items()})
        )
    return found


def _differs(x: np.ndarray) -> np.ndarray:
    """Which entries are not alike in all rows. Shape: rows entries → entries."""
    return np.asarray(((x != x[:1]) & ~(np.isnan(x) & np.isnan(x[:1]))).any(0))
