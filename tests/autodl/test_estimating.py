from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from autodl import estimating, registry
from autodl.errors import PredictorError
from autodl.records import Component, InputSpec, Task, TrialConfig
from autodl.tasks import TargetScale
from autodl.testing.estimator import TASKS, Known

PAIRS = [
    (name, kind)
    for name in registry.estimators.names()
    for kind in TASKS
    if kind in registry.estimators.load(name).tasks
]
QUICK: dict[str, dict[str, Any]] = {"hist_gradient_boosting": {"max_iter": 5}, "k_neighbors": {"neighbors": 3}}
LOG = Task("y", "regression", scales=(TargetScale(), TargetScale("log", (1.0,), (2.0,), (-9.0,), (9.0,), 10.0)))


def recipe(name: str, **training: Any) -> TrialConfig:
    settings = {**registry.estimators.load(name).space.defaults(), **QUICK.get(name, {})}
    nobody = Component("")
    return TrialConfig({}, {}, nobody, nobody, training, epochs=1, seed=5, estimator=Component(name, settings))


def folds(rows: int = 80, count: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = np.array_split(np.random.default_rng(0).permutation(rows), count)
    return [(np.sort(np.setdiff1d(np.arange(rows), part)), np.sort(part)) for part in parts]


def go_on() -> bool:
    return False


def in_time(*answers: bool) -> Any:
    left: Iterator[bool] = iter(answers)
    return lambda: next(left)


def test_every_row_is_predicted_by_the_estimator_that_did_not_see_it() -> None:
    known, config = Known.drawn("regression"), recipe("k_neighbors")
    fitted, predicted = estimating.fit_folds(config, known.x, known.targets, known.task, folds(), None, stop=go_on)
    for estimator, (train, validation) in zip(fitted, folds(), strict=True):
        own = registry.estimators.load("k_neighbors")(known.task, 0, **config.estimator.settings)  # type: ignore[union-attr]
        own.fit(known.x[train], known.targets[train], None, go_on)
        np.testing.assert_array_equal(estimator.predict(known.x[validation]), predicted[validation])
        np.testing.assert_array_equal(own.predict(known.x[validation]), predicted[validation])


def test_folds_have_seeds_of_their_own() -> None:
    known = Known.drawn("regression")
    fitted, _ = estimating.fit_folds(recipe("dummy"), known.x, known.targets, known.task, folds(), None, stop=go_on)
    assert [each.seed for each in fitted] == [5, 6, 7, 8]


def test_predictions_stand_in_the_order_of_their_rows_and_repeated_ones_are_averaged() -> None:
    """The dummy says the mean of its training rows, and each row's number is its position."""
    x, targets = np.zeros((6, 1), np.float32), np.arange(6.0)
    parts = [(np.array([0, 1]), np.array([3, 5])), (np.array([1, 2]), np.array([0, 3]))]
    _, predicted = estimating.fit_folds(recipe("dummy"), x, targets, TASKS["regression"], parts, None, stop=go_on)
    np.testing.assert_array_equal(predicted, [1.5, 1.0, 0.5])


def test_weights_go_with_their_rows() -> None:
    x, targets = np.zeros((4, 1), np.float32), np.arange(4.0)
    parts = [(np.array([1, 2]), np.array([0]))]
    weights = np.array([9.0, 1.0, 3.0, 9.0])
    _, predicted = estimating.fit_folds(recipe("dummy"), x, targets, TASKS["regression"], parts, weights, stop=go_on)
    np.testing.assert_array_equal(predicted, [1.75])


def test_numbers_are_seen_through_the_scale_and_answered_in_the_users_unit() -> None:
    """The mean of logarithms is the geometric mean."""
    x, targets = np.zeros((3, 1), np.float32), np.array([0.0, 90.0, 7.0])
    parts = [(np.array([0, 1]), np.array([2]))]
    plain, log = (
        estimating.fit_folds(recipe("dummy", target=name), x, targets, LOG, parts, None, stop=go_on)[1]
        for name in ("none", "log")
    )
    np.testing.assert_allclose(plain, [45.0])
    np.testing.assert_allclose(log, [np.sqrt(10 * 100) - 10])


def test_quantiles_do_not_cross_where_folds_and_scales_meet() -> None:
    known = Known.drawn("quantile")
    fitted, predicted = estimating.fit_folds(
        recipe("hist_gradient_boosting"), known.x, known.targets, known.task, folds(), None, stop=go_on
    )
    for answers in (predicted, estimating.predict(fitted, recipe("hist_gradient_boosting"), known.task, known.x)):
        assert (np.diff(answers, axis=1) >= 0).all()


def test_together_they_answer_with_their_mean() -> None:
    known, config = Known.drawn("regression"), recipe("dummy", target="log")
    fitted, _ = estimating.fit_folds(config, known.x, known.targets, LOG, folds(), None, stop=go_on)
    answers = [LOG.scale("log").inverse(each.predict(known.x)) for each in fitted]
    np.testing.assert_allclose(estimating.predict(fitted, config, LOG, known.x), np.mean(answers, axis=0))


@pytest.mark.parametrize(("answers", "done"), [([True], 0), ([False, True, True], 1), ([False] * 4 + [True], 2)])
def test_half_of_the_folds_are_no_answer(answers: list[bool], done: int) -> None:
    """Asked before each fold, and by the linear model once in each."""
    known = Known.drawn("regression")
    with pytest.raises(estimating.Stopped, match=rf"all 4 folds .* the time was up after {done}; give"):
        estimating.fit_folds(
            recipe("linear_model"), known.x, known.targets, known.task, folds(), None, stop=in_time(*answers)
        )


def test_a_last_fold_that_is_cut_short_answers_all_the_same() -> None:
    known = Known.drawn("regression")
    stop = in_time(*[False] * 7, True)
    fitted, predicted = estimating.fit_folds(
        recipe("linear_model"), known.x, known.targets, known.task, folds(), None, stop=stop
    )
    assert len(fitted) == 4
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_saved_and_loaded_they_predict_the_same(name: str, kind: Any) -> None:
    known, config = Known.drawn(kind), recipe(name)
    estimator = known.begun(registry.estimators.load(name), config.estimator.settings)  # type: ignore[union-attr]
    loaded = estimating.load(estimating.save([estimator, estimator]), config, known.task)
    assert len(loaded) == 2
    for each in loaded:
        np.testing.assert_array_equal(each.predict(known.x), estimator.predict(known.x))
    known.check(estimating.predict(loaded, config, known.task, known.x))


def kept(learnt: Any) -> Any:
    """What an estimator has learnt, once it was saved and loaded."""
    (loaded,) = estimating.load(saved(learnt), recipe("dummy"), TASKS["regression"])
    return loaded.learnt


def saved(*learnt: Any) -> bytes:
    estimators = [registry.estimators.load("dummy")(TASKS["regression"], 0) for _ in learnt]
    for estimator, each in zip(estimators, learnt, strict=True):
        estimator.learnt = each
    return estimating.save(estimators)


@pytest.mark.parametrize("learnt", [None, True, 3, -2.5, "text", [], {}, [{"a": [1, None]}, {"b": {"c": "d"}}]])
def test_plain_values_are_kept(learnt: Any) -> None:
    assert kept(learnt) == learnt
    assert np.isnan(kept(float("nan")))
    assert kept(np.float32(0.5)) == 0.5


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (4, 3)])
def test_arrays_are_kept(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape[::-1]).T.astype(dtype)
    found = kept({"a": array})["a"]
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array, strict=False)
    assert found.shape == shape


def test_what_else_a_plugin_learns_goes_through_skops() -> None:
    model = Ridge().fit([[0.0], [1.0]], [1.0, 3.0])
    found = kept({"model": model, "$mark": (1, 2), "words": np.array(["a", "b"])})
    np.testing.assert_array_equal(found["model"].predict([[2.0]]), model.predict([[2.0]]))
    assert found["$mark"] == (1, 2)
    assert list(found["words"]) == ["a", "b"]


ALONE = """
import sys
from pathlib import Path
import numpy as np
from autodl import estimating
from autodl.records import Component, Task, TrialConfig

path, name = sys.argv[1:]
nobody, task = Component(""), Task("y", "regression")
config = TrialConfig({}, {}, nobody, nobody, {}, epochs=1, seed=0, estimator=Component(name))
loaded = estimating.load(Path(path).read_bytes(), config, task)
estimating.predict(loaded, config, task, np.zeros((3, 4), np.float32))
assert not {"sklearn", "skops", "scipy"} & set(sys.modules)
"""


@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting", "linear_model"])
def test_some_rows_are_predicted_without_scikit_learn(tmp_path: Path, name: str) -> None:
    """Whose import takes seconds."""
    data = estimating.save([Known.drawn("regression").begun(registry.estimators.load(name))])
    (tmp_path / "learnt").write_bytes(data)
    subprocess.run([sys.executable, "-c", ALONE, str(tmp_path / "learnt"), name], check=True)


class Foreign:
    """What no estimator of ours holds."""


@pytest.mark.parametrize(
    "guest", [Foreign(), print, np.testing.assert_allclose, DecisionTreeRegressor().fit([[0]], [1])]
)
def test_a_foreign_type_is_refused(guest: Any) -> None:
    """A tree of scikit-learn's own too: it runs through memory by the numbers in its nodes."""
    with pytest.raises(PredictorError, match=r"a saved 'dummy' must be .* however it holds .*; take the predictor"):
        kept({"model": guest})


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", saved(1.0)[:-9], zlib.compress(saved(1.0))])
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(PredictorError, match="it cannot be read"):
        estimating.load(data, recipe("dummy"), TASKS["regression"])


@pytest.mark.parametrize("content", ["[]", '{"model": 1}', "3.0"])
def test_what_is_no_list_of_folds_is_refused(content: str) -> None:
    data = zlib.compress(safetensors.numpy.save({"content": np.frombuffer(content.encode(), np.uint8)}))
    with pytest.raises(PredictorError, match="no list of folds"):
        estimating.load(data, recipe("dummy"), TASKS["regression"])


@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting", "linear_model"])
@pytest.mark.parametrize(
    "learnt", [3.0, {}, {"parts": [{}]}, {"parts": [{"found": {"weights": np.ones(3), "offset": 1}}]}]
)
def test_what_another_estimator_learnt_is_refused(name: str, learnt: Any) -> None:
    with pytest.raises(PredictorError, match=f"a saved '{name}' must be"):
        estimating.load(saved(learnt), recipe(name), TASKS["regression"])


@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting"])
@pytest.mark.parametrize(("array", "value"), [("children", 0), ("children", 10**6), ("feature", 4), ("feature", -1)])
def test_trees_that_would_leave_their_memory_are_refused(name: str, array: str, value: int) -> None:
    estimator = Known.drawn("regression").begun(registry.estimators.load(name), recipe(name).estimator.settings)  # type: ignore[union-attr]
    learnt = estimator.learnt
    trees = learnt["trees"] if name == "extra_trees" else learnt["parts"][0]["found"]["trees"]
    trees[array][0, ...].flat[0] = value
    with pytest.raises(PredictorError, match="its trees point to nodes or features that are not there"):
        estimating.load(estimating.save([estimator]), recipe(name), TASKS["regression"])


def test_rows_of_another_width_are_refused() -> None:
    estimator = Known.drawn("regression").begun(registry.estimators.load("extra_trees"))
    estimator.learnt["trees"]["features"] = 9
    (loaded,) = estimating.load(estimating.save([estimator]), recipe("extra_trees"), TASKS["regression"])
    with pytest.raises(ValueError, match="rows must be float32 with 9 features"):
        loaded.predict(np.zeros((2, 4), np.float32))


def test_one_hot_features_of_a_column_are_told_by_the_spec() -> None:
    """A number, two categories, a boolean less its mean, and the parts of a date are none."""
    quantiles = torch.tensor([[0.0, 0, 0, -0.4, -1], [1.0, 1, 1, 0.6, 1]])
    spec = InputSpec(
        shape=(5,),
        columns=("job", "flag", "day"),
        feature_mask=torch.tensor([0, 0, 0, 1, 2]),
        baseline=torch.zeros(5),
        numeric=torch.tensor([False] * 5),
        quantiles=quantiles,
    )
    image = InputSpec((1, 2, 2), ("picture",), torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2))
    assert estimating.category_groups({"table": spec, "picture": image}) == ((4, 5, 6),)
