"""What the user types, read: durations, lists, column kinds, files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodl.errors import AutoDLError

if TYPE_CHECKING:
    from autodl.data.options import DataOptions
    from autodl.tuning.options import SearchOptions

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)", re.IGNORECASE)


def seconds(duration: str | float) -> float:
    """Return a duration in seconds: 90, "90", "90s", "5m", "1.5h", "1h30m".

    Raises:
        AutoDLError: It is not a duration, or not above zero.
    """
    total = _sum(duration) if isinstance(duration, str) else float(duration)
    if not 0 < total < math.inf or isinstance(duration, bool):
        raise AutoDLError(
            f"a time must be a number above zero with s, m, h or d behind it, however {duration!r} came; "
            "write for example 90s, 5m or 1.5h"
        )
    return total


def names(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of comma-separated lists: "mlp, cnn" → ("mlp", "cnn")."""
    parts = [texts] if isinstance(texts, str) else texts
    return tuple(name for part in parts for name in map(str.strip, part.split(",")) if name)


def levels(said: str | Iterable[float]) -> tuple[float, ...]:
    """Return the numbers of a comma-separated list: "0.1, 0.9" → (0.1, 0.9).

    Raises:
        AutoDLError: One is no number.
    """
    try:
        return tuple(map(float, names(said) if isinstance(said, str) else said))
    except (TypeError, ValueError):
        raise AutoDLError(
            f"quantiles must be numbers between 0 and 1, however {said!r} came; write for example 0.1,0.5,0.9"
        ) from None


def column_kinds(pairs: Iterable[str]) -> dict[str, str]:
    """Return columns and kinds of NAME=KIND pairs; the name may itself hold "=".

    Raises:
        AutoDLError: A pair has no "=", or no name.
    """
    kinds = {}
    for pair in pairs:
        name, equals, kind = pair.rpartition("=")
        if not (equals and name):
            raise AutoDLError(
                f"--column must be NAME=KIND, however '{pair}' came; write for example --column zip=category"
            )
        kinds[name] = kind
    return kinds


def space_text(space: str | Path) -> str:
    """Return the TOML text of an edited space, given as a path or as the text itself.

    Raises:
        AutoDLError: There is no such file, or it cannot be read.
    """
    if isinstance(space, str) and ("\n" in space or "=" in space):
        return space
    try:
        return Path(space).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise AutoDLError(
            f"the space must be a TOML file, however '{space}' cannot be read: {reason}; "
            "make one with: autodl space DATA --target NAME > space.toml"
        ) from None


def data_options(given: Mapping[str, Any]) -> DataOptions:
    """Return what was said of the data; what is None keeps its default."""
    from autodl.data.options import DataOptions

    return DataOptions(**_chosen(given, DataOptions))


def search_options(given: Mapping[str, Any]) -> SearchOptions:
    """Return what was said of the search; what is None keeps its default."""
    from autodl.tuning.options import SearchOptions

    return SearchOptions(**_chosen(given, SearchOptions))


def changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a resumed search shall do otherwise than before."""
    return {name: _READ.get(name, _as_it_is)(value) for name, value in given.items() if value is not None}


def _chosen(given: Mapping[str, Any], record: type) -> dict[str, Any]:
    known = {field.name for field in fields(record)}
    return changes({name: value for name, value in given.items() if name in known})


def _as_it_is(value: Any) -> Any:
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "ignore": tuple,
    "keep": tuple,
    "models": names,
    "output": str,
    "quantiles": levels,
    "root": str,
    "space": space_text,
    "test": str,
    "time": seconds,
    "validation": str,
}


def _sum(text: str) -> float:
    """The sum of the parts of a duration, NaN where it is none."""
    total, position = 0.0, 0
    while position < len(text.rstrip()):
        part = _PART.match(text, position)
        if part is None:
            return math.nan
        number, unit = part.groups()
        if not unit and (position or part.end() < len(text.rstrip())):
            return math.nan  # "1h30": thirty what?
        total += float(number) * _UNITS[(unit or "s").lower()]
        position = part.end()
    return total
