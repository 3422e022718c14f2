from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.keys import group_codes, time_keys
from autodl.errors import DataError


def test_equal_values_have_equal_codes_and_missing_ones_their_own():
    codes = group_codes(pd.Series(["a", "b", None, "a", None], name="g"))
    assert codes[0] == codes[3] != codes[1]
    assert len(set(codes.tolist())) == 4


def test_a_column_without_a_group_is_rows_alone():
    assert group_codes(pd.Series([None, None], dtype=object, name="g")).tolist() == [0, 1]


@pytest.mark.parametrize(
    "cells",
    [
        [3, 1, 2],
        ["3", "1", "2"],
        ["2020-03-01", "2020-01-01", "2020-02-01"],
        ["1.3.2020", "1.1.2020", "1.2.2020"],
        list(pd.to_datetime(["2020-03-01", "2020-01-01", "2020-02-01"])),
    ],
)
def test_keys_rise_with_time(cells):
    keys, notes = time_keys(pd.Series(cells, name="t"))
    assert np.argsort(keys).tolist() == [1, 2, 0]
    assert notes == ()


def test_a_missing_time_comes_first_and_is_told():
    keys, notes = time_keys(pd.Series(["2020-03-01", None, "2020-02-01"], name="t"))
    assert np.argsort(keys).tolist() == [1, 2, 0]
    assert notes == ("1 rows have no time in 't': taken as the first",)


def test_the_users_numbers_stay_as_they_are():
    cells = pd.Series([1.0, np.nan, 3.0], name="t")
    time_keys(cells)
    assert cells.isna().tolist() == [False, True, False]


def test_words_are_no_time():
    with pytest.raises(DataError, match="--time-order must name a column of dates or numbers, however 3 of 3 cells of"):
        time_keys(pd.Series(["a", "b", "c"], name="t"))
