from __future__ import annotations

import pytest

from autodl.data.table import check_names, listed, nearest_column, shown
from autodl.errors import DataError


def test_names_that_come_twice_are_named():
    with pytest.raises(DataError, match="'a' comes more than once; rename"):
        check_names(["a", "b", "a"], "'t.csv'")


def test_unique_names_pass():
    check_names(["a", "b"], "'t.csv'")


def test_long_lists_are_cut():
    assert listed("abc") == "'a', 'b', 'c'"
    assert listed([str(i) for i in range(1234)], limit=2) == "'0', '1' and 1,232 more"


def test_nearest_column_of_a_wide_table_lists_only_some():
    names = [f"x{i}" for i in range(1000)]
    hint = nearest_column("x1O", names)
    assert hint.startswith("did you mean 'x1")
    assert hint.endswith("and 990 more")
    assert nearest_column("Y", ["age", "y"]) == "did you mean 'y'? known: age, y"
    assert nearest_column("agee", ["age", "city"]) == "did you mean 'age'? known: age, city"


def test_cells_are_shown_on_one_short_line():
    assert shown("two\nlines") == "two lines"
    assert shown("x" * 30, limit=5) == "xxxxx…"
