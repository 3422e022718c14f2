from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.weights import normalised, row_weights
from autodl.errors import DataError


def column(cells) -> pd.Series:
    return pd.Series(cells, name="w")


@pytest.mark.parametrize("cells", [[0, 1, 2], ["0", "1", "2"], [0.0, 1.0, 2.0], pd.array([0, 1, 2], dtype="Int64")])
def test_weights_are_numbers_however_written(cells):
    assert row_weights(column(cells)).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([1, None, None], "numbers from 0 up, however 2 of 3 cells of 'w' hold no number; mend or drop these rows"),
        (["1", "much", "2"], "1 of 3 cells of 'w' hold no number"),
        ([1, -1, 2], "1 of 3 cells of 'w' are negative"),
        ([1, np.inf, 2], "1 of 3 cells of 'w' hold infinity"),
        ([[1], [2], [3]], "3 of 3 cells hold lists"),
    ],
)
def test_what_is_no_weight_is_refused(cells, message):
    with pytest.raises(DataError, match=message):
        row_weights(column(cells))


def test_weights_are_one_on_average():
    rows = np.arange(4)
    assert normalised(np.array([0.0, 2, 2, 4]), rows).tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(normalised(np.array([1e308, 1e308, 0, 0]), rows), [2, 2, 0, 0])


def test_training_rows_that_weigh_nothing_are_refused():
    with pytest.raises(DataError, match="above 0 in some training rows, however all 2 are 0"):
        normalised(np.array([0.0, 0.0, 5.0]), np.array([0, 1]))
