"""Cells of the user's table as figures need them: beside the players, as numbers, dates or categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report.style import format_value

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

SHOWN = 7
"""Categories that get a colour of their own; the rest are "other"."""


@dataclass(frozen=True, eq=False)
class Coded:
    """One column's cells as numbers.

    Attributes:
        kind: What they are.
        numbers: NaN where missing; seconds of dates; codes of categories, whose last one may be "other".
        labels: Names of the codes; empty of numbers and dates.
        cells: As the user wrote them.
    """

    kind: Literal["number", "date", "category"]
    numbers: Array
    labels: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def axis(self) -> Array:
        """What an axis is given: dates as dates, all else as numbers."""
        return (self.numbers * 1e3).astype("datetime64[ms]") if self.kind == "date" else self.numbers

    @property
    def ranks(self) -> Array:
        """From 0 for the least to 1 for the largest, ties alike, NaN where missing."""
        there = np.isfinite(self.numbers)
        _, place = np.unique(self.numbers[there], return_inverse=True)
        found = np.full(len(self.numbers), np.nan)
        found[there] = place / max(place.max(initial=0), 1)
        return found


def coded(cells: pd.Series) -> Coded:
    """Tell numbers, dates and categories apart, whether they come as such or as the words of a file."""
    import pandas as pd

    words = tuple(format_value(cell) for cell in cells)
    there = cells.notna().to_numpy()
    if pd.api.types.is_bool_dtype(cells.dtype) or not there.any():
        return _categories(words)
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return Coded("date", _seconds(cells), (), words)
    numbers = pd.to_numeric(pd.Series(list(cells), dtype=object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if np.isfinite(numbers[there]).all() and not any(isinstance(cell, bool) for cell in cells):
        return Coded("number", numbers, (), words)
    dates = pd.to_datetime(pd.Series([str(cell) for cell in cells]), errors="coerce", format="ISO8601", utc=True)
    if dates[there].notna().all():
        return Coded("date", _seconds(dates.where(there)), (), words)
    return _categories(words)


def _seconds(dates: pd.Series) -> Array:
    import pandas as pd

    if getattr(dates.dtype, "tz", None) is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    found = dates.to_numpy("datetime64[ms]").astype(np.float64) / 1e3
    found[pd.isna(dates).to_numpy()] = np.nan
    return np.asarray(found)


def _categories(words: tuple[str, ...]) -> Coded:
    """The most frequent ones by name, in the order of their names, the rest together."""
    names, counts = np.unique(np.array(words, dtype=object).astype(str), return_counts=True)
    kept = sorted(names[np.argsort(-counts, kind="stable")[:SHOWN]])
    labels = (*kept, *(("other",) if len(names) > len(kept) else ()))
    place = {name: position for position, name in enumerate(kept)}
    numbers = np.array([place.get(word, len(kept)) for word in words], dtype=np.float64)
    return Coded("category", numbers, tuple(str(each) for each in labels), words)


def is_picture(explanation: Explanation, key: str) -> bool:
    """Whether an input is an image; of a module of the user's own, whether it looks like one."""
    specs = explanation.question.specs
    if key in specs:
        return specs[key].axes[-2:] == ("height", "width")
    return explanation.question.inputs[key].ndim == 4  # rows channels height width


def is_table(explanation: Explanation, key: str) -> bool:
    """Whether an input is columns of a table; of a module of the user's own, whether it looks like it."""
    specs = explanation.question.specs
    return len(specs[key].shape) == 1 if key in specs else explanation.question.inputs[key].ndim == 2


def is_sound(explanation: Explanation, key: str) -> bool:
    """Whether an input is a sound."""
    return key in explanation.question.specs and explanation.question.specs[key].axes[-1] == "time"


def is_text(explanation: Explanation, key: str) -> bool:
    """Whether an input is a text."""
    return key in explanation.question.specs and explanation.question.specs[key].axes[0] == "token"


def column(explanation: Explanation, name: str, *, background: bool = False) -> Coded | None:
    """The cells behind a player; None where it is no column, or its cells are pictures, sounds or texts."""
    table = explanation.background if background else explanation.rows
    if name not in table.columns or any(isinstance(cell, np.ndarray) for cell in table[name]):
        return None
    specs = [spec for spec in explanation.question.specs.values() if name in spec.columns]
    if specs and all(len(spec.shape) > 1 for spec in specs):
        return None
    return coded(table[name])


def cell(explanation: Explanation, row: int, name: str) -> str | None:
    """The cell behind a player in one row, in words; None where there is none to be written."""
    if name not in explanation.rows.columns:
        return None
    found = explanation.rows[name].iloc[row]
    return None if isinstance(found, np.ndarray) else format_value(found)


def shares(explanation: Explanation) -> Array:
    """Shape: → rows players, or 1 players; 0 where a player is nobody."""
    found = explanation.attribution.values.double().cpu().numpy()
    if not found.shape[1]:
        raise ExplanationError(
            f"a figure of shares must have one for each player, however {explanation.explainer} gives none; "
            "take the figure of what it found, or another explainer"
        )
    return np.asarray(np.nan_to_num(found))


def errors(explanation: Explanation) -> Array | None:
    """Standard errors of ``shares``, or None. Shape: → rows players"""
    found = explanation.attribution.standard_error
    return None if found is None else np.nan_to_num(found.double().cpu().numpy())


def local(explanation: Explanation) -> Array:
    """The shares of a method that answers for every row.

    Raises:
        ExplanationError: The method answers for all rows together.
    """
    found = shares(explanation)
    if len(found) != len(explanation.question):
        raise ExplanationError(
            f"this figure must have shares of every row, however {explanation.explainer} answers for all rows "
            "together; take importance"
        )
    return found


def checked(explanation: Explanation, row: int) -> int:
    """The row's position, counted from the end where negative.

    Raises:
        ExplanationError: There is no such row.
    """
    count = len(explanation.question)
    if not -count <= row < count:
        raise ExplanationError(f"row must be a position from 0 to {count - 1}, however it is {row}; give one of these")
    return row % count


def player(explanation: Explanation, name: str) -> int:
    """Position of a player.

    Raises:
        UnknownNameError: Nothing is called so.
    """
    from autodl.errors import unknown_name

    if name not in explanation.players:
        raise unknown_name("player", name, explanation.players)
    return explanation.players.index(name)


def row_name(explanation: Explanation, row: int) -> str:
    """What the user calls the row: its index, where there is one."""
    return str(explanation.rows.index[row]) if row < len(explanation.rows) else str(row)
