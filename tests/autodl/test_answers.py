from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.answers import answers, intervals, number_columns, probabilities
from autodl.calibration import Calibration
from autodl.errors import DataError
from autodl.intervals import Conformal, fit_conformal
from autodl.records import Task

PLAIN = Calibration()
LABELS = Calibration(labels=True)
NUMBER = Task("y", "regression")
PAIR = Task("y", "multioutput", further=("z",))
LEVELS = Task("y", "quantile", quantiles=(0.05, 0.5, 0.95))
CLASSES = Task("y", "multiclass", ("a", "b", "c"))
TAGS = Task("loud", "multilabel", further=("tall",))


def known_errors(task: Task, rows: int = 200) -> Conformal:
    """Errors of rows whose predictions were off by up to 1, evenly; probabilities of the truth from 0 to 1."""
    off = np.linspace(-1, 1, rows)
    if task.is_classification:
        width = len(task.classes)
        rest = (1 - np.linspace(0, 1, rows)) / (width - 1)
        told = np.column_stack([np.linspace(0, 1, rows), *[rest] * (width - 1)])
        found = fit_conformal(told, np.zeros(rows, dtype=np.int64), task)
    elif task.kind == "quantile":
        found = fit_conformal(np.tile([0.0, 0.0, 0.0], (rows, 1)), off, task)
    elif task.kind == "multioutput":
        found = fit_conformal(np.zeros((rows, 2)), np.stack([off, 10 * off], axis=1), task)
    else:
        found = fit_conformal(np.zeros(rows), off, task)
    assert found is not None
    return found


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (0, 7), (0.5, 1.5)])
def test_classes_are_told_as_the_user_wrote_them(labels: tuple[object, ...]) -> None:
    task = Task("y", "binary", labels)  # type: ignore[arg-type]
    found = answers(task, np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]), PLAIN)
    assert isinstance(found, pd.Series)
    assert found.tolist() == [labels[0], labels[1], labels[0]]
    assert [type(each) for each in found.tolist()] == [type(labels[0])] * 3
    assert (found.name, found.index.tolist()) == ("y", [0, 1, 2])


def test_the_line_between_classes_lies_where_the_calibration_says() -> None:
    told = np.array([[0.9, 0.1], [0.75, 0.25], [0.2, 0.8]])
    task = Task("y", "binary", ("no", "yes"))
    assert answers(task, told, Calibration(thresholds=(0.2,))).tolist() == ["no", "yes", "yes"]
    tags = answers(TAGS, told, Calibration(labels=True, thresholds=(0.8, 0.2)))
    assert tags.to_numpy().tolist() == [[1, 0], [0, 1], [0, 1]]


def test_numbers_are_told_as_they_are() -> None:
    found = answers(NUMBER, np.array([1.5, -2.0]), PLAIN)
    assert isinstance(found, pd.Series)
    assert (found.tolist(), found.name, str(found.dtype)) == ([1.5, -2.0], "y", "float64")


@pytest.mark.parametrize(
    ("task", "columns", "dtype"),
    [
        (PAIR, ["y", "z"], "float64"),
        (LEVELS, ["y 0.05", "y 0.5", "y 0.95"], "float64"),
        (TAGS, ["loud", "tall"], "int64"),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_of_several_each_has_a_column(task: Task, columns: list[str], dtype: str) -> None:
    found = answers(task, np.linspace(0, 1, 4 * len(columns)).reshape(4, -1), LABELS)
    assert isinstance(found, pd.DataFrame)
    assert found.columns.tolist() == columns
    assert {str(each) for each in found.dtypes} == {dtype}


@pytest.mark.parametrize("task", [CLASSES, NUMBER, PAIR, LEVELS, TAGS], ids=lambda task: task.kind)
def test_without_rows_there_are_columns_still(task: Task) -> None:
    empty = np.empty((0,) if task.kind == "regression" else (0, task.n_outputs))
    found = answers(task, empty, Calibration(labels=task.kind == "multilabel"))
    assert len(found) == 0
    names = [found.name] if isinstance(found, pd.Series) else found.columns.tolist()
    assert names == {"multilabel": ["loud", "tall"], "multioutput": ["y", "z"], "quantile": number_columns(LEVELS)}.get(
        task.kind, ["y"]
    )


def test_probabilities_have_a_column_a_class_or_a_target() -> None:
    assert probabilities(CLASSES, np.eye(3)).columns.tolist() == ["a", "b", "c"]
    assert probabilities(TAGS, np.eye(2)).columns.tolist() == ["loud", "tall"]
    for task in (NUMBER, PAIR, LEVELS):
        with pytest.raises(DataError, match="'y' is a number; use predict"):
            probabilities(task, np.empty(0))


class TestIntervals:
    def test_numbers_get_two_ends(self) -> None:
        found = intervals(NUMBER, np.array([0.0, 10.0]), PLAIN, known_errors(NUMBER), 0.9)
        assert found.columns.tolist() == ["y", "y low", "y high"]
        np.testing.assert_allclose(found["y high"] - found["y"], 0.9, atol=0.02)
        np.testing.assert_allclose(found["y"] - found["y low"], 0.9, atol=0.02)

    def test_each_target_gets_its_own(self) -> None:
        found = intervals(PAIR, np.zeros((2, 2)), PLAIN, known_errors(PAIR), 0.5)
        assert found.columns.tolist() == ["y", "z", "y low", "y high", "z low", "z high"]
        np.testing.assert_allclose(found["y high"], 0.5, atol=0.02)
        np.testing.assert_allclose(found["z high"], 5.0, atol=0.2)

    def test_quantiles_get_one_around_them(self) -> None:
        found = intervals(LEVELS, np.array([[1.0, 2.0, 3.0]]), PLAIN, known_errors(LEVELS), 0.9)
        assert found.columns.tolist() == ["y 0.05", "y 0.5", "y 0.95", "y low", "y high"]
        np.testing.assert_allclose(found[["y low", "y high"]].to_numpy(), [[0.1, 3.9]], atol=0.02)

    def test_classes_get_the_set_of_those_that_may_be_true(self) -> None:
        """At 90 % those of a probability of a tenth, as the truth has less in one row of ten."""
        told = np.array([[0.7, 0.25, 0.05], [0.34, 0.33, 0.33], [0.96, 0.02, 0.02]])
        found = intervals(CLASSES, told, PLAIN, known_errors(CLASSES), 0.9)
        assert found.columns.tolist() == ["y", "y set"]
        assert found["y set"].tolist() == ["a|b", "a|b|c", "a"]
        assert found["y"].tolist() == ["a", "a", "a"]

    def test_a_set_may_hold_no_class(self) -> None:
        found = intervals(CLASSES, np.array([[0.4, 0.3, 0.3]]), PLAIN, known_errors(CLASSES), 0.3)
        assert found["y set"].tolist() == [""]

    def test_labels_of_any_type_are_joined(self) -> None:
        task = Task("y", "binary", (False, True))
        found = intervals(task, np.array([[0.5, 0.5]]), PLAIN, known_errors(task), 0.9)
        assert found["y set"].tolist() == ["False|True"]

    @given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
    def test_more_coverage_is_never_narrower(self, one: float, other: float) -> None:
        low, high = sorted((one, other))
        for task in (NUMBER, CLASSES):
            told = np.array([[0.5, 0.3, 0.2]]) if task is CLASSES else np.array([3.0])
            narrow, wide = (intervals(task, told, PLAIN, known_errors(task), share) for share in (low, high))
            if task is NUMBER:
                assert wide["y low"][0] <= narrow["y low"][0] <= narrow["y high"][0] <= wide["y high"][0]
            else:
                assert set(narrow["y set"][0]) <= set(wide["y set"][0])

    @pytest.mark.parametrize("coverage", [0.0, 1.0, -0.5, 90.0, float("nan")])
    def test_a_coverage_that_is_no_share_is_refused(self, coverage: float) -> None:
        with pytest.raises(DataError, match="must lie between 0 and 1"):
            intervals(NUMBER, np.zeros(2), PLAIN, known_errors(NUMBER), coverage)

    def test_without_errors_to_read_them_from_there_are_none(self) -> None:
        with pytest.raises(DataError, match="must know its errors"):
            intervals(NUMBER, np.zeros(2), PLAIN, None, 0.9)

    def test_for_several_labels_there_are_none(self) -> None:
        with pytest.raises(DataError, match="use their probabilities"):
            intervals(TAGS, np.zeros((2, 2)), LABELS, None, 0.9)


def test_the_names_of_numbers() -> None:
    assert number_columns(NUMBER) == ["y"]
    assert number_columns(PAIR) == ["y", "z"]
    assert number_columns(LEVELS) == ["y 0.05", "y 0.5", "y 0.95"]
