from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from autodl.estimators import hist_gradient_boosting
from autodl.estimators.hist_gradient_boosting import HistGradientBoosting
from autodl.testing.estimator import Known

SETTINGS = {**HistGradientBoosting.space.defaults(), "max_iter": 35, "max_features": 0.5}


def in_slices_of(monkeypatch, trees):
    monkeypatch.setattr(hist_gradient_boosting, "_SLICE", 0.0)
    monkeypatch.setattr(hist_gradient_boosting, "_LEAST", trees)


@pytest.mark.parametrize("trees", [7, 1000])
def test_slices_make_no_difference(monkeypatch, trees):
    """What is drawn by chance goes on where the slice before it ended."""
    in_slices_of(monkeypatch, trees)
    known = Known.drawn("binary")
    own = HistGradientBoostingClassifier(early_stopping=False, random_state=1, **SETTINGS).fit(known.x, known.targets)
    found = known.fitted(HistGradientBoosting, SETTINGS).predict(known.x)
    np.testing.assert_allclose(found, own.predict_proba(known.x), rtol=1e-6)


@pytest.mark.parametrize("kind", ["multiclass", "regression", "quantile"])
def test_it_answers_as_scikit_learn_does(kind):
    known = Known.drawn(kind)
    common = {"early_stopping": False, **SETTINGS}
    if kind == "multiclass":
        own = HistGradientBoostingClassifier(random_state=1, **common).fit(known.x, known.targets)
        expected = np.insert(own.predict_proba(known.x), 1, 0, axis=1)
    elif kind == "regression":
        expected = HistGradientBoostingRegressor(random_state=1, **common).fit(known.x, known.targets).predict(known.x)
    else:
        each = [
            HistGradientBoostingRegressor(loss="quantile", quantile=level, random_state=1 + at, **common)
            for at, level in enumerate(known.task.quantiles)
        ]
        expected = np.sort([own.fit(known.x, known.targets).predict(known.x) for own in each], axis=0).T
    np.testing.assert_allclose(known.fitted(HistGradientBoosting, SETTINGS).predict(known.x), expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "rounds"), [("binary", 12), ("multiclass", 3)])
def test_a_slice_counts_the_trees_of_all_classes(monkeypatch, kind, rounds):
    in_slices_of(monkeypatch, 12)
    found = Known.drawn(kind).begun(HistGradientBoosting, SETTINGS).learnt["parts"][0]["found"]
    assert len(found["trees"]["starts"]) - 1 == rounds * len(found["baseline"])


def test_a_slice_is_smaller_the_longer_a_tree_takes(monkeypatch):
    """A small table is learnt in one."""

    def slices(**changed):
        asked = []
        known.fitted(HistGradientBoosting, {**SETTINGS, **changed}, stop=lambda: asked.append(1))
        return len(asked)

    known = Known.drawn("binary")
    assert slices() == 1
    assert slices(max_iter=150, max_leaf_nodes=127) == 2
    monkeypatch.setattr(hist_gradient_boosting, "_CELL", 0.025 / known.x.size)
    assert slices() == 2


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
