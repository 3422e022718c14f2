from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from autodl.estimators._standard import measure, standardise
from autodl.estimators.k_neighbors import KNeighbors
from autodl.testing.estimator import Known

NEW = np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32)  # distances are not zero


@pytest.mark.parametrize("weighting", ["distance", "uniform"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_votes_are_scikit_learns_and_one_more_of_the_shares(weighting, metric):
    settings = {"neighbors": 7, "weighting": weighting, "metric": metric}
    for kind, learner in (("binary", KNeighborsClassifier), ("regression", KNeighborsRegressor)):
        known = Known.drawn(kind)
        measures = measure(known.x)
        old, new = (standardise(x, measures).astype(np.float32) for x in (known.x, NEW))
        own = learner(7, weights=weighting, metric=metric).fit(old, known.targets)
        found = known.fitted(KNeighbors, settings).predict(NEW)
        if kind == "regression":
            np.testing.assert_allclose(found, own.predict(new), rtol=1e-4)
        else:
            share = known.targets.mean()
            np.testing.assert_allclose(found, (7 * own.predict_proba(new) + [1 - share, share]) / 8, rtol=1e-4)


def test_there_are_no_more_neighbours_than_rows():
    known = Known.drawn("regression")
    found = known.fitted(KNeighbors, {"neighbors": 200, "weighting": "uniform", "metric": "cosine"})
    np.testing.assert_allclose(found.predict(NEW), known.targets.mean())


def test_quantiles_are_those_of_the_neighbours():
    known = Known.drawn("quantile")
    found = known.fitted(KNeighbors, {"neighbors": 200, "weighting": "uniform", "metric": "euclidean"})
    expected = np.quantile(known.targets, known.task.quantiles, method="inverted_cdf")
    np.testing.assert_array_equal(found.predict(NEW), np.tile(expected, (30, 1)))


def test_rows_that_weigh_nothing_do_not_divide_by_zero():
    known = Known.drawn("regression")
    fitted = known.fitted(KNeighbors, weights=np.eye(1, len(known.x))[0])
    known.check(fitted.predict(known.x))


def test_long_tables_are_left_to_others():
    assert KNeighbors.accepts(10_000, 100)
    assert not KNeighbors.accepts(50_000, 100)
