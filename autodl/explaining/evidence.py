"""What a predictor carries along to be explained by: some training rows, and its predictions of the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autodl.contracts import Modality

ROWS, PICTURE_ROWS = 200, 64
"""Training rows that are kept, of tables and texts, and where there are images or sounds."""
BYTES = 4_000_000
"""Of all images, or sounds, of one column; rows for which there is no place are kept without theirs."""
CHARACTERS = 10_000
"""Of a text; of a longer one its beginning and its end are kept."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Rows to compare with, and what the test part held.

    Attributes:
        frame: Training rows, cast as ``autodl.data`` casts them; images and sounds as arrays.
        targets: Of these rows, as ``Task`` says.
        told: Predictions of the test part, calibrated, as ``Task`` says.
        truth: Targets of the test part, as ``Task`` says.
    """

    frame: pd.DataFrame
    targets: np.ndarray
    told: np.ndarray
    truth: np.ndarray

    def to_content(self) -> dict[str, Any]:
        """Plain data and arrays that ``from_content`` takes back."""
        return {
            "columns": [[name, _packed(self.frame[name])] for name in self.frame.columns],
            "rows": len(self.frame),
            **{name: np.ascontiguousarray(getattr(self, name)) for name in ("targets", "told", "truth")},
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Evidence:
        """Rebuild from ``to_content``'s data."""
        columns = {name: _unpacked(part) for name, part in content["columns"]}
        frame = pd.DataFrame(columns, index=pd.RangeIndex(content["rows"]))
        return cls(frame, *(np.asarray(content[name]) for name in ("targets", "told", "truth")))


def draw(
    frame: pd.DataFrame, targets: np.ndarray, positions: np.ndarray, modalities: Mapping[str, Modality], seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return some training rows, drawn by chance, with their targets; no file is needed to look at them again.

    Images and sounds become what a modality says that it looks at, with its method ``kept``: cell → array, or None
    where there is nothing. Without such a method they are missing.

    Args:
        frame: All rows.
        targets: Of all rows.
        positions: Those of the training rows.
        modalities: Fitted ones by view; where several see a column the one that keeps most of it counts.
        seed: Of the draw.
    """
    seen: dict[str, list[Modality]] = {}
    kinds: dict[str, str] = {}
    for modality in modalities.values():
        for column in modality.columns:
            seen.setdefault(column.name, []).append(modality)
            kinds[column.name] = column.kind
    most = PICTURE_ROWS if {"image", "audio"} & set(kinds.values()) else ROWS
    chosen = np.sort(np.random.default_rng(seed).permutation(positions)[:most])
    drawn = frame.iloc[chosen].reset_index(drop=True)
    for name, kind in kinds.items():
        if kind in ("image", "audio"):
            drawn[name] = _kept(drawn[name].tolist(), seen[name])
        elif kind == "text":
            drawn[name] = pd.Series([_cut(cell) for cell in drawn[name]], dtype=object)
    return drawn, targets[chosen]


def _kept(cells: Sequence[Any], modalities: Sequence[Modality]) -> pd.Series:
    """What the modality that keeps most says of each cell, as far as there is place."""
    told = [[each.kept(cell) for cell in cells] for each in modalities if hasattr(each, "kept")]
    most = max(told, key=lambda arrays: sum(map(_size, arrays)), default=[None] * len(cells))
    found = np.full(len(cells), None, dtype=object)
    left = BYTES
    for row, array in enumerate(most):
        left -= _size(array)
        found[row] = array if left >= 0 else None
    return pd.Series(found, dtype=object)


def _size(array: np.ndarray | None) -> int:
    return 0 if array is None else array.nbytes


def _cut(cell: Any) -> Any:
    if not isinstance(cell, str) or len(cell) <= CHARACTERS:
        return cell
    return f"{cell[: CHARACTERS // 2]}\n{cell[-CHARACTERS // 2 :]}"


def _packed(cells: pd.Series) -> dict[str, Any]:
    """One column of a cast frame as arrays and JSON values."""
    if cells.dtype.kind == "f":
        return {"numbers": cells.to_numpy(np.float64)}
    if cells.dtype.kind == "M":
        return {"dates": cells.to_numpy("datetime64[ns]").astype(np.int64)}
    arrays = [cell for cell in cells if isinstance(cell, np.ndarray)]
    if arrays:
        present = np.array([isinstance(cell, np.ndarray) for cell in cells])
        if len({cell.shape for cell in arrays}) == 1:
            return {"arrays": np.stack(arrays), "present": present}
        flat = np.concatenate([cell.ravel() for cell in arrays])
        return {"flat": flat, "shapes": [list(cell.shape) for cell in arrays], "present": present}
    return {"words": [None if cell is None or cell != cell else str(cell) for cell in cells]}


def _unpacked(part: Mapping[str, Any]) -> pd.Series:
    if "numbers" in part:
        return pd.Series(np.asarray(part["numbers"]), dtype=np.float64)
    if "dates" in part:
        return pd.Series(np.asarray(part["dates"]).astype("datetime64[ns]"))
    if "words" in part:
        return pd.Series(part["words"], dtype=object)
    present = np.asarray(part["present"]).astype(bool)
    if "flat" in part:
        ends = np.cumsum([int(np.prod(shape)) for shape in part["shapes"]])
        pieces = np.split(np.asarray(part["flat"]), ends[:-1])
        arrays = [piece.reshape(shape) for piece, shape in zip(pieces, part["shapes"], strict=True)]
    else:
        arrays = list(np.asarray(part["arrays"]))
    cells = np.full(len(present), None, dtype=object)
    for row, array in zip(np.flatnonzero(present), arrays, strict=True):
        cells[row] = array
    return pd.Series(cells, dtype=object)
