from __future__ import annotations

import numpy as np

from autodl.estimators._standard import measure, standardise


def test_features_have_mean_zero_and_deviation_one_where_they_are():
    x = (np.random.default_rng(0).normal(size=(500, 3)) * [1, 100, 0.01] + [0, 50, -3]).astype(np.float32)
    x[::7, 1] = np.nan
    found = standardise(x, measure(x))
    there = ~np.isnan(x)
    for column in range(3):
        own = found[there[:, column], column]
        assert abs(own.mean()) < 1e-3
        assert abs(own.std() - 1) < 1e-3
    assert (found[~there] == 0).all()


def test_what_does_not_vary_or_is_not_there_is_zero():
    x = np.array([[2.0, np.nan], [2.0, np.nan]], dtype=np.float32)
    measures = measure(x)
    assert (standardise(x, measures) == 0).all()
    np.testing.assert_array_equal(standardise(np.array([[3.0, -1.5]]), measures), [[1.0, -1.5]])


def test_what_is_rare_is_limited():
    x = np.zeros((1000, 1), dtype=np.float32)
    x[0] = 1
    assert standardise(x, measure(x)).max() == 5
