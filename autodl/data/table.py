"""A table as it was read: raw cells, before anything is decided about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from autodl.errors import DataError, nearest


@dataclass(frozen=True, eq=False)
class Table:
    """What a reader returns.

    Attributes:
        frame: Raw cells, columns called by unique strings, index 0..rows-1.
        source: Where the rows came from: a built-in name, an absolute path, or ``frame``.
        root: The folder that relative image paths start at.
        fingerprint: sha256 over the content.
        target: The target of sources that have their own: folders of images and built-in sets.
        notes: What the reader inferred, a line each.
    """

    frame: pd.DataFrame
    source: str
    root: Path
    fingerprint: str
    target: str | None = None
    notes: tuple[str, ...] = ()


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse names that are not unique.

    Raises:
        DataError: A name comes more than once.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"column names of {where} must be unique, however {listed(twice)} comes more than once; rename one of them"
        )


def listed(names: Iterable[str], limit: int = 10) -> str:
    """Return names in quotes, at most ``limit`` of them: ``'a', 'b' and 7 more``."""
    all_names = [f"'{shown(name, 60)}'" for name in names]
    if len(all_names) <= limit:
        return ", ".join(all_names)
    return f"{', '.join(all_names[:limit])} and {len(all_names) - limit:,} more"


def shown(value: object, limit: int = 20) -> str:
    """Return a cell as messages show it: on one line, and short."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def nearest_column(name: str, names: Iterable[str]) -> str:
    """As ``autodl.errors.nearest``, but letters may differ in case, and a wide table's names are not all listed."""
    known = list(names)
    hint = nearest(name, known)
    other_case = next((other for other in known if other.lower() == name.lower()), None)
    if other_case is not None:
        hint = f"did you mean '{other_case}'? known:{hint.partition('known:')[2]}"
    return hint if len(known) <= 20 else f"{hint.partition('known:')[0]}known: {listed(known)}"
