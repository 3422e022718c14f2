from __future__ import annotations

import numpy as np
import pytest

from autodl.estimators.dummy import Dummy
from autodl.testing.estimator import Known


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 81.0)])
def test_it_answers_with_what_is_usual(weights):
    def answer(kind):
        return Known.drawn(kind).fitted(Dummy, weights=weights).predict(np.zeros((1, 4)))[0]

    own = np.ones(80) if weights is None else weights
    classes, numbers = Known.drawn("multiclass").targets, Known.drawn("regression").targets
    np.testing.assert_allclose(answer("multiclass"), [own[classes == c].sum() / own.sum() for c in range(4)])
    np.testing.assert_allclose(answer("regression"), np.average(numbers, weights=own))
    labels = Known.drawn("multilabel").targets
    np.testing.assert_allclose(answer("multilabel"), own @ labels / own.sum())


def test_its_quantiles_are_those_of_the_training_targets():
    known = Known.drawn("quantile")
    expected = np.quantile(known.targets, known.task.quantiles, method="inverted_cdf")
    np.testing.assert_array_equal(known.fitted(Dummy).predict(known.x), np.tile(expected, (80, 1)))


def test_it_has_nothing_to_search_and_looks_at_no_feature():
    assert not Dummy.space
    assert Dummy.accepts(10**9, 10**9)
