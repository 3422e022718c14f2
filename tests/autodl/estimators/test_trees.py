from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from autodl.estimators import _trees
from autodl.estimators._trees import Nodes, Trees, nodes_of_boosting, nodes_of_forest, pack

FEATURES = 3
X = np.random.default_rng(0).normal(size=(300, FEATURES)).astype(np.float32)
X[::7, 1] = np.nan
Y = np.nan_to_num(X @ [1.0, 2.0, -1.0])
NEW = np.random.default_rng(1).normal(size=(77, FEATURES)).astype(np.float32)
NEW[::5, 0] = np.nan
NEW[::3, 1] = np.nan


@pytest.fixture(params=["step by step", "compiled"])
def way(request, monkeypatch):
    """Both ways of looking leaves up."""
    monkeypatch.setattr(_trees, "_MANY", 0 if request.param == "compiled" else 10**9)


@pytest.fixture
def packed():
    """Two trees of regression."""
    grown = [DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, Y).tree_ for depth in (4, 2)]
    return pack([nodes_of_forest(tree) for tree in grown], FEATURES)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("rows", [NEW, NEW[:1], NEW[:0], np.nan_to_num(NEW)])
def test_forests_answer_bit_for_bit(rows):
    """Of one column and of several, of one tree that is a leaf alone and others that are deep."""
    two = np.stack([Y > 0, Y > 1], axis=1).astype(int)
    for target, learner in ((Y, DecisionTreeRegressor), (Y > 0, DecisionTreeClassifier), (two, DecisionTreeClassifier)):
        grown = [learner(max_depth=depth, random_state=0).fit(X, target).tree_ for depth in (1, None, 5)]
        grown.append(learner().fit(X, target * 0).tree_) if learner is DecisionTreeRegressor else None
        trees = Trees(pack([nodes_of_forest(tree) for tree in grown], FEATURES))
        assert len(trees) == len(grown)
        for tree, found in zip(grown, trees.answers(rows), strict=True):
            np.testing.assert_array_equal(found.reshape(tree.predict(rows).shape), tree.predict(rows))


@pytest.mark.usefixtures("way")
def test_boosting_answers_bit_for_bit():
    model = HistGradientBoostingRegressor(max_iter=20, early_stopping=False).fit(X, Y)
    trees = Trees(pack([nodes_of_boosting(each) for (each,) in model._predictors], FEATURES))
    total = np.full(len(NEW), model._baseline_prediction.item())
    for answers in trees.answers(NEW):
        total += answers
    np.testing.assert_array_equal(total, model.predict(NEW))


def test_rows_and_trees_are_taken_some_at_a_time(monkeypatch, packed):
    whole = list(Trees(packed).answers(NEW))
    monkeypatch.setattr(_trees, "_PAIRS", 10)
    np.testing.assert_array_equal(list(Trees(packed).answers(NEW)), whole)


def stump(threshold):
    """One question: is the only feature at most the threshold?"""
    nothing, values = np.zeros(3, bool), np.array([[0.0], [1.0], [0.0]])
    leaf, ones = np.array([False, True, True]), np.ones(3, int)
    return Nodes(leaf, ones, 2 * ones, 0 * ones, np.array([threshold, 0.0, 0.0]), nothing, values)


@given(st.floats(-1e30, 1e30), st.integers(-2, 2))
def test_a_threshold_loses_nothing_by_being_a_float32(threshold, steps):
    """Rows that are no further from it than two float32 numbers go where they went."""
    cell = np.float32(threshold)
    for _ in range(abs(steps)):
        cell = np.nextafter(cell, np.float32(np.copysign(np.inf, steps)))
    (found,) = Trees(pack([stump(threshold)], 1)).answers(np.array([[cell]], np.float32))
    assert found == (float(cell) <= threshold)


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("children", (0, 1), 31),  # in the second tree, or behind it
        ("children", (0, 0), 10**6),
        ("children", (1, 0), 0),
        ("children", (1, 0), -1),
        ("children", (0, 0), 0),  # a leaf on one side alone
        ("feature", 0, FEATURES),
        ("feature", 0, -1),
        ("starts", 0, 1),
        ("starts", 1, 0),
        ("starts", 2, 10**6),
    ],
)
def test_trees_that_lead_nowhere_are_refused(packed, name, where, value):
    harmed = {key: np.array(each) for key, each in packed.items()}
    harmed[name][where] = value
    with pytest.raises(ValueError, match="its trees point to"):
        Trees(harmed)


@pytest.mark.parametrize("name", ["children", "feature", "threshold", "gaps_left", "values", "starts"])
def test_arrays_that_do_not_fit_each_other_are_refused(packed, name):
    with pytest.raises(ValueError, match="its trees point to"):
        Trees({**packed, name: packed[name][:-1]})


@pytest.mark.parametrize("rows", [X[:, :2], np.zeros((2, 4), np.float32), X.astype(np.float64)])
def test_other_rows_are_refused(packed, rows):
    with pytest.raises(ValueError, match="rows must be float32 with 3 features"):
        next(Trees(packed).answers(rows))
