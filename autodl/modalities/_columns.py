"""One column of a table → its features: a class for each kind of column, fitted on training cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from autodl.modalities._scaling import Scaler
from autodl.records import ColumnKind

RARE = 3  # a category of fewer training rows has no feature of its own
DAY = 86_400  # seconds


class ColumnEncoder(ABC):
    """What a column of some kind becomes; built by ``fit`` or ``from_state``."""

    @classmethod
    @abstractmethod
    def fit(cls, cells: pd.Series, settings: Mapping[str, Any], generator: np.random.Generator) -> ColumnEncoder:
        """Learn from training cells."""

    @abstractmethod
    def features(self, column: str) -> list[tuple[str, bool]]:
        """Each feature's name, and whether it is a scaled number."""

    @abstractmethod
    def write(self, cells: pd.Series, out: np.ndarray) -> np.ndarray:
        """Fill ``out``, which comes as zeros; return which cells are missing. Shape: rows, features rows → rows."""

    @abstractmethod
    def facets(self, cells: pd.Series) -> list[np.ndarray]:
        """What the column may tell of a target: numbers, NaN where missing, or class codes (int64). Each: rows."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """JSON-able values and arrays."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any]) -> ColumnEncoder:
        """Rebuild from ``state``'s data."""


@dataclass(frozen=True)
class Number(ColumnEncoder):
    """A scaled number, and an indicator where training cells were missing."""

    scaler: Scaler
    gaps: bool

    @classmethod
    def fit(cls, cells: pd.Series, settings: Mapping[str, Any], generator: np.random.Generator) -> Number:
        values = _numbers(cells)
        return cls(Scaler.fit(settings["scaling"], values, generator), bool(np.isnan(values).any()))

    def features(self, column: str) -> list[tuple[str, bool]]:
        return [(column, True), *_indicator(column, self.gaps)]

    def write(self, cells: pd.Series, out: np.ndarray) -> np.ndarray:
        values = _numbers(cells)
        missing: np.ndarray = np.isnan(values)
        out[0] = self.scaler(values)
        if self.gaps:
            out[1] = missing
        return missing

    def facets(self, cells: pd.Series) -> list[np.ndarray]:
        return [_numbers(cells)]

    def state(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state(), "gaps": self.gaps}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Number:
        return cls(Scaler.from_state(state["scaler"]), state["gaps"])


@dataclass(frozen=True)
class Boolean(ColumnEncoder):
    """0 or 1 less the training mean, and an indicator where training cells were missing."""

    mean: float
    gaps: bool

    @classmethod
    def fit(cls, cells: pd.Series, settings: Mapping[str, Any], generator: np.random.Generator) -> Boolean:
        values = np.clip(_numbers(cells), 0, 1)
        known = values[~np.isnan(values)]
        return cls(float(known.mean()) if known.size else 0.0, known.size < values.size)

    def features(self, column: str) -> list[tuple[str, bool]]:
        return [(column, False), *_indicator(column, self.gaps)]

    def write(self, cells: pd.Series, out: np.ndarray) -> np.ndarray:
        values = np.clip(_numbers(cells), 0, 1)
        missing: np.ndarray = np.isnan(values)
        out[0] = np.where(missing, 0, values - self.mean)
        if self.gaps:
            out[1] = missing
        return missing

    def facets(self, cells: pd.Series) -> list[np.ndarray]:
        return [_numbers(cells)]

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "gaps": self.gaps}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Boolean:
        return cls(**state)


@dataclass(frozen=True)
class Category(ColumnEncoder):
    """One-hot: the kept categories, then ``other`` and ``missing`` where training rows had such cells.

    ``other`` takes the rare categories, those beyond the cap and those never seen; where training rows had none of
    these, a category never seen is all zeros, as a missing cell is where training rows had none.
    """

    kept: tuple[str, ...]
    other: bool
    gaps: bool

    @classmethod
    def fit(cls, cells: pd.Series, settings: Mapping[str, Any], generator: np.random.Generator) -> Category:
        codes, names = pd.factorize(cells.to_numpy(dtype=object))
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        known = [(-int(count), str(name)) for count, name in zip(counts, names, strict=True) if count >= RARE]
        kept = tuple(name for _, name in sorted(known)[: settings["categories"]])
        return cls(kept, len(kept) < len(names), bool((codes < 0).any()))

    def features(self, column: str) -> list[tuple[str, bool]]:
        names = [f"{column} = {category}" for category in self.kept]
        names += [f"{column}: other"] if self.other else []
        return [*((name, False) for name in names), *_indicator(column, self.gaps)]

    def write(self, cells: pd.Series, out: np.ndarray) -> np.ndarray:
        codes = self._codes(cells)
        shown = np.flatnonzero(codes >= 0)
        out[codes[shown], shown] = 1
        missing: np.ndarray = cells.isna().to_numpy()
        return missing

    def facets(self, cells: pd.Series) -> list[np.ndarray]:
        return [self._codes(cells)]

    def state(self) -> dict[str, Any]:
        return {"kept": list(self.kept), "other": self.other, "gaps": self.gaps}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Category:
        return cls(tuple(state["kept"]), state["other"], state["gaps"])

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.kept)}

    def _codes(self, cells: pd.Series) -> np.ndarray:
        """Position of the feature that is 1, or -1. Shape: rows."""
        unseen = len(self.kept) if self.other else -1
        missing = len(self.kept) + self.other if self.gaps else -1
        codes, names = pd.factorize(cells.to_numpy(dtype=object))
        positions = [self._positions.get(str(name), unseen) for name in names]
        by_code: np.ndarray = np.array([*positions, missing], dtype=np.int64)
        return by_code[codes]  # type: ignore[no-any-return]  # the code of a missing cell is -1: the last


@dataclass(frozen=True)
class Date(ColumnEncoder):
    """Age in days before the newest training date, scaled as a number; month, weekday and hour on the circle.

    The hour comes only where training dates differ in their time of day. A missing date is the centre of the circles.
    """

    scaler: Scaler
    newest: int
    hours: bool
    gaps: bool

    @classmethod
    def fit(cls, cells: pd.Series, settings: Mapping[str, Any], generator: np.random.Generator) -> Date:
        dates = _dates(cells)
        known = dates[~np.isnat(dates)].astype(np.int64)
        newest = int(known.max()) if known.size else 0
        hours = len(np.unique(known % DAY)) > 1
        age = np.where(np.isnat(dates), np.nan, (newest - dates.astype(np.int64)) / DAY)
        return cls(Scaler.fit(settings["scaling"], age, generator), newest, hours, known.size < dates.size)

    def features(self, column: str) -> list[tuple[str, bool]]:
        cycles = ["month", "weekday", *(["hour"] if self.hours else [])]
        circles = [(f"{column}: {cycle} {way}", False) for cycle in cycles for way in ("sine", "cosine")]
        return [(f"{column}: age", True), *circles, *_indicator(column, self.gaps)]

    def write(self, cells: pd.Series, out: np.ndarray) -> np.ndarray:
        age, *cycles = self.facets(cells)
        missing: np.ndarray = np.isnan(age)
        out[0] = self.scaler(age)
        for position, (cycle, period) in enumerate(zip(cycles, (12, 7, 24), strict=False)):
            angle = 2 * np.pi * cycle / period
            out[1 + 2 * position] = np.where(missing, 0, np.sin(angle))
            out[2 + 2 * position] = np.where(missing, 0, np.cos(angle))
        if self.gaps:
            out[-1] = missing
        return missing

    def facets(self, cells: pd.Series) -> list[np.ndarray]:
        dates = _dates(cells)
        seconds = dates.astype(np.int64)
        month = dates.astype("datetime64[M]").astype(np.int64) % 12
        weekday = (seconds // DAY + 3) % 7  # day 0 was a Thursday; Monday is 0
        hour = [seconds % DAY / 3600] if self.hours else []
        return [
            np.where(np.isnat(dates), np.nan, facet) for facet in ((self.newest - seconds) / DAY, month, weekday, *hour)
        ]

    def state(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state(), "newest": self.newest, "hours": self.hours, "gaps": self.gaps}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Date:
        return cls(Scaler.from_state(state["scaler"]), state["newest"], state["hours"], state["gaps"])


KINDS: dict[ColumnKind, type[ColumnEncoder]] = {
    "number": Number,
    "boolean": Boolean,
    "category": Category,
    "date": Date,
}


def _numbers(cells: pd.Series) -> np.ndarray:
    """The cells as float64, NaN where missing, infinite or no number. Shape: rows."""
    try:
        values: np.ndarray = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isinf(values), np.nan, values)


def _dates(cells: pd.Series) -> np.ndarray:
    """The cells as datetime64[s], NaT where missing or no date. Shape: rows."""
    if cells.dtype.kind != "M":
        cells = pd.to_datetime(cells, errors="coerce")
    dates: np.ndarray = cells.to_numpy(dtype="datetime64[s]")
    return dates


def _indicator(column: str, gaps: bool) -> list[tuple[str, bool]]:
    return [(f"{column}: missing", False)] if gaps else []
