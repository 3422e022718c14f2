from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.columns import type_columns
from autodl.data.options import DataOptions
from autodl.errors import DataError


@pytest.fixture
def frame(people) -> pd.DataFrame:
    return people.drop(columns="churn").assign(id=np.arange(len(people)), unit="kg", empty=np.nan)


def kinds(frame, **options) -> dict[str, str]:
    return {column.name: column.kind for column in type_columns(frame, DataOptions(**options))}


def reason(frame, name, **options) -> str:
    return next(column.reason for column in type_columns(frame, DataOptions(**options)) if column.name == name)


def test_all_columns_are_typed_in_their_order(frame):
    assert kinds(frame) == {
        "age": "number",
        "income": "number",
        "city": "category",
        "member": "boolean",
        "joined": "date",
        "id": "ignored",
        "unit": "ignored",
        "empty": "ignored",
    }
    assert reason(frame, "id") == "all 60 whole numbers are different: an id"
    assert reason(frame, "unit") == "the same value in every row"


def test_what_the_user_says_stands_above_all(frame):
    said = {"age": "category", "id": "number", "city": "text", "income": "ignored"}
    found = kinds(frame, columns=said)
    assert {name: found[name] for name in said} == said
    assert reason(frame, "age", columns=said) == "as you said"


def test_ignored_and_kept(frame):
    assert kinds(frame, ignore=["age"])["age"] == "ignored"
    assert kinds(frame, keep=["id"])["id"] == "number"
    assert kinds(frame, keep=["unit"])["unit"] == "category"
    assert "kept as you said, though all 60" in reason(frame, "id", keep=["id"])


def test_the_group_is_no_feature_unless_kept(frame):
    assert kinds(frame, group="city")["city"] == "ignored"
    assert kinds(frame, group="city", keep=["city"])["city"] == "category"


def test_the_format_of_dates_that_are_said_is_stored(frame):
    years = frame.assign(built=[1950 + row % 40 for row in range(len(frame))])
    assert reason(years, "built", columns={"built": "date"}) == "as you said; dates written as %Y"


def test_lists_may_be_ignored(frame):
    odd = frame.assign(odd=[[1]] * len(frame))
    with pytest.raises(DataError, match="60 of 60 cells hold lists; drop it with --ignore odd"):
        kinds(odd)
    assert kinds(odd, ignore=["odd"])["odd"] == "ignored"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ["agee"]}, "--ignore must name a column, however 'agee' is none; did you mean 'age'"),
        ({"keep": ["x"]}, "--keep must name a column"),
        ({"columns": {"x": "text"}}, "--column must name a column"),
        ({"group": "town"}, "--group must name a column"),
        ({"time_order": "join"}, "--time-order must name a column, however 'join' is none; did you mean 'joined'"),
        ({"columns": {"city": "number"}}, "read as number, as --column city=number says, however none of 60 can"),
        ({"columns": {"city": "date"}}, "read as date, as --column city=date says"),
        ({"columns": {"income": "boolean"}}, "read as boolean"),
        ({"columns": {"empty": "text"}}, "read as text"),
    ],
)
def test_what_cannot_be_is_refused(frame, options, message):
    with pytest.raises(DataError, match=message):
        kinds(frame, **options)


def test_a_table_of_nothing_useful_is_refused(frame):
    with pytest.raises(DataError, match="at least one column must be of use, however all 2 are left out"):
        kinds(frame[["id", "unit"]])
    with pytest.raises(DataError, match="must have a column beside the target"):
        kinds(frame[[]])
