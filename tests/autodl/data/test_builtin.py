from __future__ import annotations

import numpy as np
import pytest

from autodl.data.builtin import TARGETS, read_builtin


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("breast_cancer", 569, 30, {"benign", "malignant"}),
        ("wine", 178, 13, {"class_0", "class_1", "class_2"}),
        ("iris", 150, 4, {"setosa", "versicolor", "virginica"}),
        ("digits", 1797, 1, set(range(10))),
    ],
)
def test_classification_sets(name, rows, columns, classes):
    table = read_builtin(name)
    assert table.frame.shape == (rows, columns + 1)
    assert table.target == TARGETS[name]
    assert set(table.frame[table.target]) == classes
    assert table.source == name


def test_words_stand_for_the_right_classes():
    table = read_builtin("breast_cancer")
    assert (table.frame["diagnosis"] == "malignant").sum() == 212  # as scikit-learn's documentation says


def test_diabetes_is_a_regression():
    table = read_builtin("diabetes")
    assert table.frame.shape == (442, 11)
    assert table.frame["progression"].agg(["min", "max"]).tolist() == [25, 346]


def test_digits_are_images_of_the_whole_range():
    cells = read_builtin("digits").frame["image"]
    pixels = np.stack(cells.to_list())
    assert pixels.shape == (1797, 8, 8)
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_the_fingerprint_stays():
    assert read_builtin("iris").fingerprint == read_builtin("iris").fingerprint
