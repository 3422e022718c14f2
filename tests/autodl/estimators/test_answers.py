from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.estimators._answers import join, n_classes, shares, sigmoid, softmax, split, spread, weighted_quantiles
from autodl.testing.estimator import TASKS, Known


@pytest.mark.parametrize(("kind", "columns"), [("binary", 1), ("multilabel", 2), ("multioutput", 2), ("quantile", 3)])
def test_a_task_is_learnt_a_column_at_a_time(kind, columns):
    known = Known.drawn(kind)
    found = split(known.task, known.targets)
    assert [each.shape for each in found] == [(len(known.x),)] * columns
    if kind != "quantile":
        np.testing.assert_array_equal(np.stack(found, axis=1).squeeze(), known.targets)


def test_columns_become_one_answer():
    two = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert join(TASKS["binary"], [two]) is two
    np.testing.assert_array_equal(join(TASKS["multilabel"], [two, two]), [[0.1, 0.1], [0.8, 0.8]])
    np.testing.assert_array_equal(join(TASKS["multioutput"], [two[:, 0], two[:, 1]]), two)
    np.testing.assert_array_equal(join(TASKS["regression"], [two[:, 0]]), [0.9, 0.2])


def test_quantiles_do_not_cross():
    found = join(TASKS["quantile"], [np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.array([3.0, 1.0])])
    np.testing.assert_array_equal(found, [[1, 2, 3], [1, 2, 3]])


def test_each_class_has_its_column():
    assert [n_classes(TASKS[kind]) for kind in ("multiclass", "multilabel", "quantile")] == [4, 2, 0]
    found = spread(np.array([[0.25, 0.75]]), np.array([3, 1]), 4)
    np.testing.assert_array_equal(found, [[0, 0.75, 0, 0.25]])


def test_sums_become_probabilities():
    sums = np.array([[1.0, 2.0, 1000.0], [-3.0, 0.5, 0.5]])
    found = softmax(sums)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(found[1] / found[1, 1]), sums[1] - 0.5)
    two = softmax(np.array([[0.0, 3.0], [0.0, -800.0]]))
    np.testing.assert_allclose(sigmoid(np.array([3.0, -800.0])), two)
    assert sigmoid(np.array([40.0]))[0, 0] > 0


def test_shares_count_weights():
    labels = np.array([0, 2, 2, 0])
    np.testing.assert_array_equal(shares(labels, 3, None), [0.5, 0, 0.5])
    np.testing.assert_array_equal(shares(labels, 3, np.array([1.0, 3.0, 3.0, 1.0])), [0.25, 0, 0.75])


values = st.lists(st.integers(-50, 50), min_size=1, max_size=12)


@given(values, st.floats(0.01, 0.99))
def test_quantiles_are_numpys_where_weights_are_alike(numbers, level):
    row = np.array([numbers], dtype=float)
    if abs(level * len(numbers) - round(level * len(numbers))) > 1e-6:  # at a step both neighbours are right
        expected = np.quantile(row[0], level, method="inverted_cdf")
        assert weighted_quantiles(row, np.full_like(row, 3.0), [level])[0, 0] == expected


@given(values, st.lists(st.integers(1, 4), min_size=12, max_size=12), st.sampled_from([0.1, 0.37, 0.5, 0.9]))
def test_a_weight_is_as_good_as_repeating_a_value(numbers, counts, level):
    row, weights = np.array([numbers], dtype=float), np.array([counts[: len(numbers)]], dtype=float)
    repeated = np.repeat(row, weights[0].astype(int), axis=1)
    alike = weighted_quantiles(repeated, np.ones_like(repeated), [level])
    assert weighted_quantiles(row, weights, [level]) == alike
