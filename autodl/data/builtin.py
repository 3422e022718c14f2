"""scikit-learn's small sets, by name: digits as images, breast_cancer, wine, iris, diabetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodl.data.frames import fingerprint
from autodl.data.table import Table

TARGETS = {
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "digits": "digit",
    "iris": "species",
    "wine": "cultivar",
}
"""Name of each set, and of what it predicts."""

_DARKEST_DIGIT = 16  # scikit-learn's digits have 17 shades of grey


def read_builtin(name: str) -> Table:
    """Return the set of that name with its own target; classes are words where scikit-learn has words."""
    from sklearn import datasets  # a second to import, and only for these

    loaded = getattr(datasets, f"load_{name}")()
    frame = _images(loaded) if name == "digits" else pd.DataFrame(loaded.data, columns=list(loaded.feature_names))
    words = getattr(loaded, "target_names", None)
    if name == "digits" or words is None:
        frame[TARGETS[name]] = loaded.target
    else:
        frame[TARGETS[name]] = pd.Series(np.asarray(words, dtype=object)[loaded.target])
    return Table(frame, name, Path.cwd(), fingerprint(frame), TARGETS[name])


def _images(loaded: Any) -> pd.DataFrame:
    pixels = np.round(loaded.images * (255 / _DARKEST_DIGIT)).astype(np.uint8)
    cells = np.empty(len(pixels), dtype=object)
    cells[:] = list(pixels)
    return pd.DataFrame({"image": pd.Series(cells, dtype=object)})
