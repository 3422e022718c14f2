from __future__ import annotations

import numpy as np
import pytest

from autodl_explainers._influence_directions import direction, directions, random_directions


def rows(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 6))
    found[:, 2] += shift
    found[:, 5] = 1.0  # a unit that is always alike
    return found


def test_a_direction_leads_to_the_first_rows_and_is_judged_on_fresh_ones() -> None:
    found, accuracy = direction(rows(60, 0, 4.0), rows(60, 1))
    assert found.shape == (6,)
    assert np.linalg.norm(found) == pytest.approx(1)
    assert found[2] > 0.8
    assert found[5] == 0
    assert accuracy > 0.9
    assert direction(rows(60, 0), rows(60, 1))[1] < 0.75


def test_the_size_of_activations_is_irrelevant_and_that_of_a_unit_is_not() -> None:
    plain, _ = direction(rows(60, 0, 4.0), rows(60, 1))
    np.testing.assert_allclose(direction(rows(60, 0, 4.0) * 1e6, rows(60, 1) * 1e6)[0], plain, atol=1e-4)
    of, others = rows(60, 0, 4.0), rows(60, 1)
    of[:, 3] += 40  # both units tell the sides apart; along this one they lie farther apart
    found, accuracy = direction(of, others)
    assert accuracy == 1
    assert found[3] > 5 * found[2] > 0


def test_draws_differ_and_a_seed_is_a_result() -> None:
    first, again = (
        directions(rows(30, 0, 1.0), rows(50, 1), 20, 3, np.random.default_rng(seed=4))[0] for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first[0], first[1])


def test_random_sets_never_stand_against_themselves() -> None:
    """Each row is a unit of its own, and gets a weight of one sign: it is on one side of each draw, or on none."""
    found = list(random_directions(np.eye(20), 10, 3, 2, np.random.default_rng(0)))
    assert [each.shape for each in found] == [(2, 20)] * 3
    for each in found:
        assert bool((each[0] * each[1] >= 0).all())
