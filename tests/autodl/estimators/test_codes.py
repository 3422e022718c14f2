from __future__ import annotations

import numpy as np
import pytest

from autodl import estimating, registry
from autodl.estimators._codes import faces, learn, translate
from autodl.records import Component, Task, TrialConfig

X = np.array([[0.5, 1, 0], [0.1, 1, 0], [0.2, 0, 1], [0.9, 0, 0]], np.float32)
GROUPS = ((1, 2),)


def test_one_hot_features_become_the_means_of_their_rows_drawn_to_the_overall_one() -> None:
    codes = learn(X, np.array([[4.0], [2.0], [8.0], [6.0]]), GROUPS)
    first, second, none = (6 + 10 * 5) / 12, (8 + 10 * 5) / 11, 5.0
    np.testing.assert_allclose(translate(X, codes), [[0.5, first], [0.1, first], [0.2, second], [0.9, none]], rtol=1e-6)


def test_without_categories_rows_stay_as_they_are() -> None:
    codes = learn(X, np.ones((4, 1)), ())
    np.testing.assert_array_equal(translate(X, codes), X)


def test_a_missing_row_is_of_no_category() -> None:
    codes = learn(X, np.array([[1.0], [1.0], [0.0], [0.0]]), GROUPS)
    missing = np.full((1, 3), np.nan, np.float32)
    assert translate(missing, codes)[0, 1] == 0.5


@pytest.mark.parametrize(("kind", "classes", "targets", "width"), [
    ("binary", (0, 1), np.array([0, 1, 1]), 1),
    ("multiclass", (0, 1, 2), np.array([0, 1, 2]), 3),
    ("multiclass", tuple(range(9)), np.array([0, 1, 8]), 5),
    ("regression", (), np.array([0.1, 1.0, 2.0]), 1),
    ("multioutput", (), np.ones((3, 2)), 2),
])  # fmt: skip
def test_what_means_are_taken_of(kind: str, classes: tuple[int, ...], targets: np.ndarray, width: int) -> None:
    assert faces(Task("y", kind, classes), targets).shape == (3, width)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "extra_trees", "random_forest"])
def test_trees_tell_many_categories_apart(name: str) -> None:
    """Twenty categories with a mean each: what one-hot features hide from a small tree."""
    generator = np.random.default_rng(0)
    category = generator.integers(20, size=600)
    x = np.eye(20, dtype=np.float32)[category]
    targets = np.linspace(-1, 1, 20)[generator.permutation(20)][category]
    task = Task("y", "regression")
    settings = {**registry.estimators.load(name).space.defaults(), "min_samples_leaf": 20}
    config = TrialConfig({}, {}, Component(""), Component(""), {}, 1, 0, estimator=Component(name, settings))
    folds = [(np.arange(400), np.arange(400, 600))]
    errors = {}
    for groups in ((), (tuple(range(20)),)):
        fitted, predicted = estimating.fit_folds(
            config, x, targets, task, folds, None, stop=lambda: False, groups=groups
        )
        errors[len(groups)] = float(np.mean((predicted - targets[400:]) ** 2))
        loaded = estimating.load(estimating.save(fitted), config, task)
        np.testing.assert_array_equal(estimating.predict(loaded, config, task, x[400:]), predicted)
    assert errors[1] < errors[0]


def test_a_file_whose_means_do_not_fit_is_refused() -> None:
    estimator = registry.estimators.load("extra_trees")(
        Task("y", "regression"), 0, max_features=0.5, min_samples_leaf=1
    )
    estimator.groups = GROUPS
    estimator.fit(X, np.arange(4.0), None, lambda: False)
    with pytest.raises(ValueError, match="do not fit together"):
        estimator.learnt = {**estimator.learnt, "codes": {**estimator.learnt["codes"], "starts": np.array([0, 9])}}
