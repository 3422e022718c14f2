from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl._cli_output import check_interval, check_output, csv_text, harmless, predictions
from autodl.errors import AutoDLError
from autodl.records import Task


class FakePredictor:
    task = Task("y", "multiclass", ("=1+1", "b", "c"), "accuracy")
    shares = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])

    def predict(self, data: Any, root: Any = None) -> pd.Series:
        return pd.Series(["b", "=1+1"], name="y")

    def predict_proba(self, data: Any, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame(self.shares, columns=list(self.task.classes))

    def predict_interval(self, data: Any, coverage: float, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"y": ["b", "=1+1"], "y set": ["b|c", f"{coverage}"]})


class FakeLabeller:
    """Several targets: a column each."""

    task = Task("a", "multilabel", further=("b",))

    def predict(self, data: Any, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"a": [0, 1], "b": [1, 1]})

    def predict_proba(self, data: Any, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"a": [0.25, 0.75], "b": [1.0, 0.5]})


def test_predictions_stand_in_one_column_or_before_the_probabilities() -> None:
    plain = predictions(FakePredictor(), "d", None, False)  # type: ignore[arg-type]
    both = predictions(FakePredictor(), "d", None, True)  # type: ignore[arg-type]
    assert list(plain["y"]) == list(both["y"]) == ["b", "=1+1"]
    assert list(both.columns) == ["y", "probability_=1+1", "probability_b", "probability_c"]
    np.testing.assert_array_equal(both.iloc[:, 1:], FakePredictor.shares)


def test_the_prediction_is_that_of_predict_not_the_likeliest() -> None:
    """A decision threshold may have moved it."""
    table = predictions(FakePredictor(), "d", None, True)  # type: ignore[arg-type]
    assert table["y"].tolist() == FakePredictor().predict("d").tolist()


def test_sets_stand_before_the_probabilities() -> None:
    table = predictions(FakePredictor(), "d", None, True, 0.9)  # type: ignore[arg-type]
    assert list(table.columns) == ["y", "y set", "probability_=1+1", "probability_b", "probability_c"]
    assert table["y set"].tolist() == ["b|c", "0.9"]


def test_several_targets_have_a_column_each() -> None:
    table = predictions(FakeLabeller(), "d", None, False)  # type: ignore[arg-type]
    assert csv_text(table) == "a,b\n0,1\n1,1\n"
    both = predictions(FakeLabeller(), "d", None, True)  # type: ignore[arg-type]
    assert list(both.columns) == ["a", "b", "probability_a", "probability_b"]


@pytest.mark.parametrize("share", [0.0, 1.0, 90.0, float("nan")])
def test_an_interval_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(AutoDLError, match=r"--interval must lie between 0 and 1, however .* came; 0\.9 is"):
        check_interval(share)


@given(st.lists(st.text(alphabet="=+-@\t\r\n,\"'a1 é", max_size=6), min_size=1), st.text("=a", max_size=3))
def test_no_cell_of_text_begins_as_a_formula_and_all_come_back(cells: list[str], name: str) -> None:
    frame = pd.DataFrame({name: pd.Series(cells, dtype="object")})
    rows = list(csv.reader(io.StringIO(csv_text(frame), newline="")))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    read = [row[0] if row else "" for row in rows]
    assert read == [harmless(cell) for cell in [name, *cells]]


def test_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"y": [-1.5, 2.0], "n": [-1, 2], "b": [True, False]})
    assert csv_text(frame) == "y,n,b\n-1.5,-1,True\n2.0,2,False\n"


def test_a_place_to_write_is_checked_before_any_work(tmp_path: Path) -> None:
    assert check_output(str(tmp_path / "new.csv")) == tmp_path / "new.csv"
    with pytest.raises(AutoDLError, match="is a folder; add a file's name"):
        check_output(str(tmp_path))
    with pytest.raises(AutoDLError, match=r"folder that exists.*make it first"):
        check_output(str(tmp_path / "no" / "new.csv"))
