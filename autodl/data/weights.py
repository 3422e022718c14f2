"""How much each row counts, from a column of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autodl.data.cells import as_numbers, check_plain
from autodl.errors import DataError


def row_weights(cells: pd.Series) -> np.ndarray:
    """Return the weights of rows, as they are written.

    Raises:
        DataError: A weight is missing, negative, infinite or no number.
    """
    check_plain(cells)
    weights = np.array(as_numbers(cells))
    for wrong, what in (
        (np.isnan(weights), "hold no number"),
        (np.isinf(weights), "hold infinity"),
        (weights < 0, "are negative"),
    ):
        if wrong.any():
            raise DataError(
                f"--sample-weight must name a column of numbers from 0 up, however {int(wrong.sum()):,} of "
                f"{len(cells):,} cells of '{cells.name}' {what}; mend or drop these rows"
            )
    return weights


def normalised(weights: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the weights of all rows, 1 on average.

    Args:
        weights: As they are written.
        train: Positions of the training rows.

    Raises:
        DataError: No training row counts.
    """
    if not weights[train].any():
        raise DataError(
            f"--sample-weight must be above 0 in some training rows, however all {len(train):,} are 0; choose another "
            "column, or leave --sample-weight out"
        )
    greatest = weights.max()  # divided first, so that huge weights stay finite
    return np.asarray(weights / greatest / (weights / greatest).mean())
