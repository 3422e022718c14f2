from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from autodl.modalities._relevance import TARGETS, Goal, bin_codes, goals


def goal(codes: np.ndarray) -> Goal:
    return Goal(codes, np.random.default_rng(0))


def test_a_copy_tells_the_whole_entropy() -> None:
    y = np.array([0, 1] * 1000)
    assert goal(y).mutual_information(y) == pytest.approx(np.log(2), abs=0.001)
    assert goal(y).mutual_information(1 - y) == pytest.approx(np.log(2), abs=0.001)


def test_mutual_information_by_hand() -> None:
    """Counts of 300, 100 over 100, 300: Σ p ln(p / (row column))."""
    x, y = np.repeat([0, 0, 1, 1], [300, 100, 100, 300]), np.repeat([0, 1, 0, 1], [300, 100, 100, 300])
    plain = 2 * 0.375 * np.log(0.375 / 0.25) + 2 * 0.125 * np.log(0.125 / 0.25)
    assert goal(y).mutual_information(x) == pytest.approx(plain, abs=0.005)


def test_noise_tells_nothing() -> None:
    chance = np.random.default_rng(0)
    y = goal(chance.integers(0, 3, 2000))
    found = [y.mutual_information(bin_codes(chance.normal(size=2000))) for _ in range(50)]
    assert np.mean(found) < 0.002
    assert min(found) >= 0


@pytest.mark.parametrize("names", [500, 250, 60])
def test_a_column_of_many_names_tells_little_by_chance(names: int) -> None:
    """The plain estimate would be from 0.06 to the target's whole entropy, 0.69."""
    chance = np.random.default_rng(0)
    assert goal(chance.integers(0, 2, 500)).mutual_information(np.arange(500) % names) < 0.03


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_bins_keep_a_rare_value_apart(share: float) -> None:
    y = (np.arange(2000) < share * 2000).astype(np.int64)
    assert goal(y).mutual_information(bin_codes(y.astype(np.float64))) == goal(y).mutual_information(y)


@pytest.mark.parametrize("sign", [1, -1])
def test_bins_keep_the_many_zeros_from_the_tail(sign: int) -> None:
    values = np.where(np.arange(2000) < 60, np.linspace(1, 2, 2000), 0) * sign
    y = (np.arange(2000) < 60).astype(np.int64)
    assert goal(y).mutual_information(bin_codes(values)) > 0.9 * goal(y).mutual_information(y)


def test_missing_cells_are_a_bin() -> None:
    values = np.where(np.arange(100) < 50, np.nan, np.linspace(0, 1, 100))
    codes = bin_codes(values)
    assert len(set(codes[:50])) == 1
    assert codes[0] not in codes[50:]
    assert min(codes) == 0


def test_nothing_known_is_one_bin() -> None:
    assert bin_codes(np.full(5, np.nan)).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("data", "reference", "agreement"),
    [(load_breast_cancer, mutual_info_classif, 0.95), (load_diabetes, mutual_info_regression, 0.7)],
)
def test_columns_rank_as_nearest_neighbours_rank_them(data: object, reference: object, agreement: float) -> None:
    """scikit-learn's estimate (Kraskov and others) is slower, and finer."""
    x, y = data(return_X_y=True)  # type: ignore[operator]
    target = goal(bin_codes(y.astype(np.int64 if reference is mutual_info_classif else np.float64)))
    found = [target.mutual_information(bin_codes(column)) for column in x.T]
    expected = reference(x, y, random_state=0)  # type: ignore[operator]
    assert pd.Series(found).corr(pd.Series(expected), method="spearman") > agreement


def test_several_targets_are_as_many_goals_and_never_too_many() -> None:
    targets = np.arange(100 * 9).reshape(9, 100).T % 7.0
    found = goals(targets, np.random.default_rng(0))
    assert len(found) == TARGETS
    np.testing.assert_array_equal(found[0].codes, bin_codes(targets[:, 0]))
    np.testing.assert_array_equal(found[-1].codes, bin_codes(targets[:, 8]))
    assert len(goals(targets[:, :2], np.random.default_rng(0))) == 2
    assert len(goals(targets[:, 0], np.random.default_rng(0))) == 1


def test_a_thousand_columns_take_less_than_two_seconds() -> None:
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(1000, 2000)), goal(chance.integers(0, 10, 2000))
    began = time.process_time()
    for column in x:
        y.mutual_information(bin_codes(column))
    assert time.process_time() - began < 2
