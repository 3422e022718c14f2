"""What a predictor carries along to be explained by: some training rows, and its predictions of the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autodl.contracts import Modality

ROWS, PICTURE_ROWS = 200, 64
"""Training rows that are kept, of tables alone and where there are images."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Rows to compare with, and what the test part held.

    Attributes:
        frame: Training rows, cast as ``autodl.data`` casts them; images as arrays.
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
    """Return some training rows, drawn by chance, with their targets; images become what the modality kept of them.

    Args:
        frame: All rows.
        targets: Of all rows.
        positions: Those of the training rows.
        modalities: Fitted ones by view; where several see an image the one that keeps most of it counts.
        seed: Of the draw.
    """
    pictures = {
        column.name for modality in modalities.values() for column in modality.columns if column.kind == "image"
    }
    most = PICTURE_ROWS if pictures else ROWS
    chosen = np.sort(np.random.default_rng(seed).permutation(positions)[:most])
    drawn = frame.iloc[chosen].reset_index(drop=True)
    for modality in sorted(modalities.values(), key=lambda each: int(each.settings.get("side", 0))):
        for column in modality.columns:
            if column.name in pictures:
                stored = modality.transform(drawn.assign(**{column.name: frame[column.name].iloc[chosen].to_numpy()}))
                drawn[column.name] = _cells(stored.values.numpy(), stored.present.numpy())
    return drawn, targets[chosen]


def _cells(values: np.ndarray, present: np.ndarray) -> pd.Series:
    """Stored images as cells of a frame. Shape: rows channels height width → rows."""
    cells = np.full(len(values), None, dtype=object)
    for row in np.flatnonzero(present):
        image = values[row]
        cells[row] = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    return pd.Series(cells, dtype=object)


def _packed(cells: pd.Series) -> dict[str, Any]:
    """One column of a cast frame as arrays and JSON values."""
    if cells.dtype.kind == "f":
        return {"numbers": cells.to_numpy(np.float64)}
    if cells.dtype.kind == "M":
        return {"dates": cells.to_numpy("datetime64[ns]").astype(np.int64)}
    arrays = [cell for cell in cells if isinstance(cell, np.ndarray)]
    if arrays:
        present = np.array([isinstance(cell, np.ndarray) for cell in cells])
        return {"arrays": np.stack(arrays), "present": present}
    return {"words": [None if cell is None or cell != cell else str(cell) for cell in cells]}


def _unpacked(part: Mapping[str, Any]) -> pd.Series:
    if "numbers" in part:
        return pd.Series(np.asarray(part["numbers"]), dtype=np.float64)
    if "dates" in part:
        return pd.Series(np.asarray(part["dates"]).astype("datetime64[ns]"))
    if "words" in part:
        return pd.Series(part["words"], dtype=object)
    arrays, present = np.asarray(part["arrays"]), np.asarray(part["present"]).astype(bool)
    cells = np.full(len(present), None, dtype=object)
    for row, image in zip(np.flatnonzero(present), arrays, strict=True):
        cells[row] = image
    return pd.Series(cells, dtype=object)
