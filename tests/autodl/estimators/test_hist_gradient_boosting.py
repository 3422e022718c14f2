from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from autodl.estimators import hist_gradient_boosting
from autodl.estimators.hist_gradient_boosting import HistGradientBoosting
from autodl.testing.estimator import Known

SETTINGS = {**HistGradientBoosting.space.defaults(), "max_iter": 35, "max_features": 0.5}


@pytest.mark.parametrize("trees", [7, 1000])
def test_slices_make_no_difference(monkeypatch, trees):
    """What is drawn by chance goes on where the slice before it ended."""
    monkeypatch.setattr(hist_gradient_boosting, "_LEAST", 1)
    monkeypatch.setattr(hist_gradient_boosting, "_MOST", trees)
    known = Known.drawn("binary")
    own = HistGradientBoostingClassifier(early_stopping=False, random_state=1, **SETTINGS).fit(known.x, known.targets)
    found = known.fitted(HistGradientBoosting, SETTINGS).predict(known.x)
    np.testing.assert_allclose(found, own.predict_proba(known.x), rtol=1e-6)


@pytest.mark.parametrize(("kind", "rounds"), [("binary", 12), ("multiclass", 3)])
def test_a_slice_counts_the_trees_of_all_classes(monkeypatch, kind, rounds):
    monkeypatch.setattr(hist_gradient_boosting, "_MOST", 12)
    fitted = Known.drawn(kind).begun(HistGradientBoosting, SETTINGS)
    assert fitted.learnt["parts"][0]["model"].n_iter_ == rounds


def test_quantiles_lie_where_they_should():
    generator = np.random.default_rng(0)
    known = Known.drawn("quantile")
    x = generator.uniform(size=(2000, 1)).astype(np.float32)
    many = Known(known.task, x, x[:, 0] * generator.normal(size=2000))
    below = many.targets[:, None] <= many.fitted(HistGradientBoosting).predict(x)
    np.testing.assert_allclose(below.mean(axis=0), [0.1, 0.5, 0.9], atol=0.03)


def test_wide_and_long_tables_are_left_to_others():
    assert HistGradientBoosting.accepts(500_000, 100)
    assert not HistGradientBoosting.accepts(500_000, 4096)
