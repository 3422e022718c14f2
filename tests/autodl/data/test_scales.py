from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.data.scales import MARGIN, with_scales
from autodl.errors import DataError
from autodl.records import Task

NUMBER = Task("y", "regression")
SKEWED = np.random.default_rng(0).lognormal(sigma=1.0, size=500)


def names(task: Task) -> list[str]:
    return [scale.name for scale in task.scales]


def test_the_plain_scale_comes_from_the_rows_given():
    (scale,) = with_scales(NUMBER, np.array([1.0, 3.0])).scales
    assert (scale.name, scale.location, scale.scale, scale.shift) == ("none", (2.0,), (1.0,), 0.0)
    assert (scale.low, scale.high) == ((-1 - MARGIN,), (1 + MARGIN,))


def test_constant_targets_keep_their_unit():
    (scale,) = with_scales(NUMBER, np.array([5.0, 5.0])).scales
    assert (scale.location, scale.scale, scale.low) == ((5.0,), (1.0,), (-MARGIN,))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_classes_and_labels_have_no_scale(kind):
    task = Task("y", kind, (0, 1) if kind != "multilabel" else ())
    assert with_scales(task, np.array([0.0, 1.0])) == task


@pytest.mark.parametrize(
    ("targets", "expected", "shift"),
    [
        (SKEWED, ["none", "log"], 0.0),
        (SKEWED - SKEWED.min(), ["none", "log"], 1.0),
        (SKEWED - SKEWED.min() - 1e-9, ["none"], None),
        (-SKEWED, ["none"], None),
        (np.linspace(1, 2, 100), ["none"], None),
        (np.full(20, 3.0), ["none"], None),
    ],
)
@pytest.mark.parametrize("kind", ["regression", "quantile"])
def test_skewed_targets_that_are_not_negative_may_go_through_a_logarithm(kind, targets, expected, shift):
    task = with_scales(Task("y", kind, quantiles=(0.5,)), targets)
    assert names(task) == expected
    if shift is not None:
        seen = task.scale("log").forward(targets)
        assert (seen.mean(), seen.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
        assert task.scale("log").shift == shift


def test_other_targets_must_have_a_logarithm_too():
    assert with_scales(NUMBER, SKEWED, others=np.array([0.0, 2.0])).scale("log").shift == 1.0
    assert names(with_scales(NUMBER, SKEWED, others=np.array([-0.1]))) == ["none"]
    assert names(with_scales(NUMBER, SKEWED, others=np.zeros(0))) == ["none", "log"]


def test_several_targets_have_an_entry_each_and_no_logarithm():
    targets = np.stack([SKEWED, 100 + 10 * SKEWED, np.full(len(SKEWED), 7.0)], axis=1)
    (scale,) = with_scales(Task("a", "multioutput", further=("b", "c")), targets).scales
    assert scale.location == pytest.approx(targets.mean(0))
    assert scale.scale[2] == 1.0
    seen = scale.forward(targets)
    np.testing.assert_allclose(seen.std(axis=0), [1, 1, 0], atol=1e-9)
    np.testing.assert_allclose(scale.inverse(seen), targets)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40).map(np.array))
def test_training_targets_come_back(targets):
    """None of them lies beyond the least or the largest answer."""
    for scale in with_scales(NUMBER, targets).scales:
        size = np.abs(targets).max() + 1
        np.testing.assert_allclose(scale.inverse(scale.forward(targets)) / size, targets / size, atol=1e-6)


def test_a_spread_beyond_float64_is_refused():
    with pytest.raises(DataError, match="'y' must stay below 1e150 or so, however its spread overflows"):
        with_scales(NUMBER, np.array([1e200, -1e200]))
    wide = np.array([[1.0, 1e200], [2.0, -1e200]])
    with pytest.raises(DataError, match="the target 'b'"):
        with_scales(Task("a", "multioutput", further=("b",)), wide)
