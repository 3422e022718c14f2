from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from autodl.estimators import _forest
from autodl.estimators.extra_trees import ExtraTrees
from autodl.testing.estimator import Known


def size(forest):
    return len(forest.learnt["trees"]["starts"]) - 1


def test_probabilities_are_those_of_one_more_tree_that_knows_the_shares():
    known = Known.drawn("binary")
    known.targets[:20] = 1
    fitted = known.fitted(ExtraTrees)
    model = ExtraTreesClassifier(100, random_state=1, **ExtraTrees.space.defaults()).fit(known.x, known.targets)
    trees = np.stack([tree.predict_proba(known.x) for tree in model.estimators_])
    share = known.targets.mean()
    more = np.concatenate([trees, np.broadcast_to([1 - share, share], (1, *trees.shape[1:]))])
    np.testing.assert_allclose(fitted.predict(known.x), more.mean(axis=0))


def test_a_forest_grows_slice_by_slice_to_the_same_trees(monkeypatch):
    known = Known.drawn("regression")
    sliced = known.fitted(ExtraTrees)
    monkeypatch.setattr(_forest, "_MOST", 1000)
    whole = known.fitted(ExtraTrees)
    assert size(sliced) == size(whole) == 100
    np.testing.assert_allclose(sliced.predict(known.x), whole.predict(known.x))


def test_a_stop_leaves_a_smaller_forest():
    known = Known.drawn("regression")
    answers = iter([False, True])
    fitted = known.fitted(ExtraTrees, stop=lambda: next(answers))
    assert size(fitted) == 50


def test_many_rows_get_fewer_trees(monkeypatch):
    known = Known.drawn("regression")
    monkeypatch.setattr(_forest, "_NODES", 60 * len(known.x))
    assert size(known.fitted(ExtraTrees)) == 60


def test_labels_and_targets_are_scikit_learns():
    """Whose one more tree, of the shares, is taken off again."""
    settings = ExtraTrees.space.defaults()
    labels, numbers = Known.drawn("multilabel"), Known.drawn("multioutput")
    own = ExtraTreesClassifier(100, random_state=1, **settings).fit(labels.x, labels.targets).predict_proba(labels.x)
    found = (labels.fitted(ExtraTrees).predict(labels.x) * 101 - labels.targets.mean(axis=0)) / 100
    np.testing.assert_allclose(found, np.stack([each[:, 1] for each in own], axis=1), atol=1e-12)
    regressor = ExtraTreesRegressor(100, random_state=1, **settings).fit(numbers.x, numbers.targets)
    np.testing.assert_allclose(numbers.fitted(ExtraTrees).predict(numbers.x), regressor.predict(numbers.x))


def test_wide_tables_and_long_ones_are_left_to_others():
    assert ExtraTrees.accepts(100_000, 100)
    assert not ExtraTrees.accepts(100_000, 1000)
    assert not ExtraTrees.accepts(1_000_000, 2)
