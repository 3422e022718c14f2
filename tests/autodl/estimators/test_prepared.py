from __future__ import annotations

import pytest

from autodl.estimators._prepared import Prepared
from autodl.testing.estimator import TASKS


class Roots(Prepared):
    """Is ready once it knows the root of what was learnt."""

    def _prepare(self, found):
        if found < 0:
            raise ValueError("no root")
        self.root = found**0.5

    def fit(self, x, targets, weights, stop):
        self.learnt = 9.0

    def predict(self, x):
        return self.root


@pytest.fixture
def roots():
    return Roots(TASKS["regression"], 0)


def test_nothing_is_learnt_at_first(roots):
    assert roots.learnt is None


def test_a_fit_and_a_file_alike_make_it_ready(roots):
    roots.fit(None, None, None, None)
    assert (roots.learnt, roots.predict(None)) == (9.0, 3.0)
    roots.learnt = 16.0
    assert (roots.learnt, roots.predict(None)) == (16.0, 4.0)


def test_what_cannot_predict_is_not_learnt(roots):
    with pytest.raises(ValueError, match="no root"):
        roots.learnt = -1.0
    assert roots.learnt is None
