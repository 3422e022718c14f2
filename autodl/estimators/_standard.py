"""Features brought to one size, for learners that add them up or measure distances; gaps go to the middle."""

from __future__ import annotations

import numpy as np

_LIMIT = 5.0  # standard deviations; a value that is rare in training must not outweigh all others


def measure(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and standard deviation of each feature over the rows that have it; 0 and 1 where nothing varies."""
    there = ~np.isnan(x)
    counts = np.maximum(there.sum(axis=0), 1)
    center = np.where(there, x, 0.0).sum(axis=0, dtype=np.float64) / counts
    squares = np.square(np.where(there, x - center, 0.0)).sum(axis=0, dtype=np.float64)
    deviation = np.sqrt(squares / counts)
    return {"center": center, "deviation": np.where(deviation > 1e-6, deviation, 1.0)}


def standardise(x: np.ndarray, measures: dict[str, np.ndarray]) -> np.ndarray:
    """Return features of mean 0 and standard deviation 1 within ± 5, with 0 for gaps. Shape: rows features → same."""
    scaled = (x - measures["center"]) / measures["deviation"]
    return np.asarray(np.clip(np.nan_to_num(scaled, copy=False), -_LIMIT, _LIMIT))
