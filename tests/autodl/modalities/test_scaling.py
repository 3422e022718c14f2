from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

from autodl.modalities._scaling import NOISE, Scaler

KINDS = ("robust", "quantile", "standard")
FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


def fit(kind: str, *values: float) -> Scaler:
    return Scaler.fit(kind, np.array(values, np.float64), np.random.default_rng(0))


def scaled(scaler: Scaler, *values: float) -> list[float]:
    return scaler(np.array(values, np.float64)).tolist()


def test_robust_by_hand() -> None:
    """Median 2, quartiles 1 and 3; then 1 / √(1 + 1/9) = 3/√10."""
    assert scaled(fit("robust", 0, 1, 2, 3, 4), 2, 4, 0) == pytest.approx([0, 3 / 10**0.5, -3 / 10**0.5])


def test_robust_divides_by_half_the_range_where_quartiles_meet() -> None:
    """Half of 8 is 4; then 2 / √(1 + 4/9) = 6/√13."""
    assert scaled(fit("robust", 0, 0, 0, 0, 0, 0, 0, 8), 0, 8) == pytest.approx([0, 6 / 13**0.5])


def test_robust_stays_within_three() -> None:
    assert scaled(fit("robust", 0, 1, 2), 1e300, -1e300) == pytest.approx([3, -3], abs=1e-4)


def test_standard_by_hand() -> None:
    assert scaled(fit("standard", 1, 3, np.nan), 2, 3, 5) == [0, 1, 3]


def test_quantile_is_that_of_scikit_learn_on_noisy_numbers() -> None:
    values = np.random.default_rng(5).gamma(2, 3, 3000)
    noisy = values + NOISE * values.std() * np.random.default_rng(0).standard_normal(3000)
    textbook = QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None).fit(noisy[:, None])
    grid = np.linspace(-1, values.max() + 1, 500)
    np.testing.assert_allclose(fit("quantile", *values)(grid), textbook.transform(grid[:, None])[:, 0], atol=1e-9)


def test_quantile_puts_a_tie_at_its_middle_rank() -> None:
    """Half of the numbers are 0, whose middle rank is a quarter, at the normal distribution's -0.674."""
    scaler = fit("quantile", *np.zeros(3000), *np.linspace(1, 2, 3000))
    assert scaled(scaler, 0)[0] == pytest.approx(-0.674, abs=0.05)


@pytest.mark.parametrize(("rows", "count"), [(9, 10), (600, 20), (40_000, 1000)])
def test_number_of_quantiles(rows: int, count: int) -> None:
    assert len(fit("quantile", *np.arange(rows)).quantiles) == count


def test_the_noise_is_the_generators() -> None:
    values = np.repeat(np.arange(4.0), 5)
    first, again, other = (Scaler.fit("quantile", values, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.quantiles, again.quantiles)
    assert not np.array_equal(first.quantiles, other.quantiles)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [(7.0, 7.0, 7.0), (0.1,) * 49, (np.nan, np.inf), (), (4.0,)])
def test_where_training_numbers_do_not_differ_all_become_zero(kind: str, values: tuple[float, ...]) -> None:
    assert scaled(fit(kind, *values), 7, 8, -1e9, np.nan) == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_infinite_become_zero_and_are_not_learned_from(kind: str) -> None:
    scaler = fit(kind, 1, np.nan, 2, np.inf, 4, -np.inf)
    assert scaled(scaler, np.nan, np.inf, -np.inf) == [0, 0, 0]
    assert scaler.center == fit(kind, 1, 2, 4).center


@pytest.mark.parametrize("kind", KINDS)
@given(training=st.lists(FLOATS, max_size=40), pair=st.tuples(FLOATS, FLOATS))
def test_scaling_is_monotone_finite_and_bounded(kind: str, training: list[float], pair: tuple[float, float]) -> None:
    scaler = fit(kind, *training)
    found = scaler(np.array([*training, *pair]))
    bound = {"robust": 3, "quantile": 5.3, "standard": 1000}[kind]
    assert np.isfinite(found).all()
    assert (np.abs(found) <= bound).all()
    if np.isfinite(pair).all():
        low, high = scaled(scaler, *sorted(pair))
        assert low <= high + 1e-9


@pytest.mark.parametrize("kind", KINDS)
@given(training=st.lists(FLOATS, max_size=40))
def test_state_rebuilds_the_same_scaler(kind: str, training: list[float]) -> None:
    scaler = fit(kind, *training)
    again = Scaler.from_state(scaler.state())
    assert scaled(again, *training, 1.0) == scaled(scaler, *training, 1.0)
