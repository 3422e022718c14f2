from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from autodl._scaling import LEAST_SCALE, MOST_SCALE, fit_temperature, fit_vector, scaled


def case(rows: int, classes: int, seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities that are too sure by a factor, and classes drawn from the right ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    true = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return np.log(scaled(logits * sharpness, np.ones(1), np.zeros(1))), true


def log_loss(true: np.ndarray, told: np.ndarray) -> float:
    return -float(np.log(told[np.arange(len(true)), true]).mean())


def test_scaled_is_a_softmax() -> None:
    logs = np.log(np.array([[0.2, 0.8], [0.5, 0.5]]))
    np.testing.assert_allclose(scaled(logs, np.ones(1), np.zeros(1)), np.exp(logs))
    np.testing.assert_allclose(scaled(logs, np.array([2.0]), np.zeros(1))[0], np.array([0.04, 0.64]) / 0.68)
    np.testing.assert_allclose(scaled(logs, np.ones(1), np.array([800.0, 0.0]))[0], [1, 0])


@settings(max_examples=15, deadline=None)
@given(st.integers(50, 300), st.integers(2, 4), st.integers(0, 1000), st.sampled_from([0.3, 1.0, 3.0]))
def test_temperature_is_where_a_general_minimiser_finds_it(
    rows: int, classes: int, seed: int, sharpness: float
) -> None:
    logs, true = case(rows, classes, seed, sharpness)

    def loss(scale: float) -> float:
        return log_loss(true, scaled(logs, np.array([scale]), np.zeros(1)))

    (found,), (bias,) = fit_temperature(logs, true)
    best = minimize(lambda at: loss(np.exp(at[0])), [0.0], method="Nelder-Mead")
    assert bias == 0
    assert loss(found) <= best.fun + 1e-6


@settings(max_examples=10, deadline=None)
@given(st.integers(100, 300), st.integers(2, 3), st.integers(0, 1000))
def test_vector_scaling_is_where_a_general_minimiser_finds_it(rows: int, classes: int, seed: int) -> None:
    logs, true = case(rows, classes, seed)
    logs = logs + np.arange(classes)  # biased as well
    centre = np.repeat([fit_temperature(logs, true)[0][0], 0], classes)

    def loss(at: np.ndarray) -> float:
        told = scaled(logs, at[:classes], at[classes:])
        return float(log_loss(true, told) + ((at - centre) ** 2).sum() / 2 / rows)

    scale, bias = fit_vector(logs, true)
    best = minimize(loss, centre, method="BFGS", options={"gtol": 1e-6})
    assert loss(np.concatenate([scale, bias])) <= best.fun + 1e-6


def test_the_right_temperature_comes_back_from_many_rows() -> None:
    (scale,), _ = fit_temperature(*case(50_000, 3, seed=0, sharpness=2.0))
    assert scale == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("right", [True, False])
def test_rows_that_are_all_right_or_all_wrong_stay_within_bounds(right: bool) -> None:
    logs, true = np.log(np.tile([0.1, 0.9], (60, 1))), np.full(60, int(right))
    for fit in (fit_temperature, fit_vector):
        scale, bias = fit(logs, true)
        assert (scale >= LEAST_SCALE).all()
        assert (scale <= MOST_SCALE).all()
        assert np.isfinite(bias).all()
