from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.space import Choice, Dimension, Float, Integer
from autodl.tuning._dimensions import (
    admit,
    default_value,
    distribution,
    draw,
    near,
    nearest_value,
    only_value,
    range_in_words,
    suggest,
)

RATE = Float(1e-4, 1e-2, log=True)
DEPTH = Integer(1, 6, default=9, limits=(1, 12))
SIZE = Choice(32, 128, "full", limits=(1, 1000))
CLIP = Choice(0.0, 1.0)
FLAG = Choice(True, False)
ALL = (RATE, DEPTH, SIZE, CLIP, FLAG, Integer(1, 1000, log=True), Float(-1, 1), Choice("a"), Integer(3, 3))


@pytest.mark.parametrize(
    ("dimension", "value"), [(Choice("a"), "a"), (Integer(3, 3), 3), (Float(0, 0), 0.0), (FLAG, None), (RATE, None)]
)
def test_only_value(dimension: Dimension, value: Any) -> None:
    assert only_value(dimension) == value


@pytest.mark.parametrize(
    ("dimension", "value", "admitted"),
    [
        (RATE, 1e-3, 1e-3),
        (RATE, 1, None),
        (Float(0, 2), 1, 1.0),
        (Float(0, 2), True, None),
        (Float(0, 2), "1", None),
        (Float(0, 2), float("nan"), None),
        (DEPTH, 6, 6),
        (DEPTH, 7, None),
        (DEPTH, 2.0, None),
        (DEPTH, True, None),
        (SIZE, "full", "full"),
        (SIZE, 64, None),
        (SIZE, True, None),
        (CLIP, 1, 1.0),
        (CLIP, True, None),
        (FLAG, False, False),
        (FLAG, 0, None),
        (SIZE, [32], None),
    ],
)
def test_admit(dimension: Dimension, value: Any, admitted: Any) -> None:
    found = admit(dimension, value)
    assert (found, type(found)) == (admitted, type(admitted))


@pytest.mark.parametrize(
    ("dimension", "value", "nearest"),
    [
        (RATE, 1, 1e-2),
        (RATE, "x", 1e-3),
        (DEPTH, 0, 1),
        (DEPTH, 2.6, 3),
        (SIZE, 60, 32),
        (SIZE, 100, 128),
        (SIZE, "half", 32),
        (CLIP, 5, 1.0),
        (Choice("a", "b", default="b"), "c", "b"),
        (Choice("a", "b", default="z"), "c", "a"),
    ],
)
def test_nearest_value(dimension: Dimension, value: Any, nearest: Any) -> None:
    found = nearest_value(dimension, value)
    assert found == pytest.approx(nearest)
    assert type(found) is type(nearest)


def test_a_default_outside_the_range_moves_to_its_edge() -> None:
    assert default_value(DEPTH) == 6
    assert default_value(Choice(32, 64, default=256)) == 64


@given(st.sampled_from(ALL), st.one_of(st.floats(allow_nan=False), st.integers(), st.booleans(), st.text()))
def test_the_nearest_value_is_in_the_range_and_its_own_nearest(dimension: Dimension, value: Any) -> None:
    nearest = nearest_value(dimension, value)
    assert admit(dimension, nearest) == nearest
    assert nearest_value(dimension, nearest) == nearest
    if admit(dimension, value) is not None:
        assert nearest == value


def test_ranges_in_words() -> None:
    assert range_in_words(RATE) == "a number from 0.0001 to 0.01"
    assert range_in_words(DEPTH) == "a whole number from 1 to 6"
    assert range_in_words(SIZE) == "one of 32, 128, full"


@pytest.mark.parametrize("dimension", ALL, ids=repr)
def test_what_is_drawn_or_suggested_is_in_the_range_and_in_its_distribution(dimension: Dimension) -> None:
    generator = np.random.default_rng(0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        for value in (draw(dimension, generator), suggest(trial, "x", dimension)):
            assert admit(dimension, value) == value
            assert type(value) in (bool, int, float, str)
            assert distribution(dimension)._contains(distribution(dimension).to_internal_repr(value))
        assert trial.distributions == {"x": distribution(dimension)}


def test_draws_are_even() -> None:
    generator = np.random.default_rng(0)
    options = Counter(draw(SIZE, generator) for _ in range(3_000))
    assert all(abs(count - 1_000) < 120 for count in options.values())
    wholes = Counter(draw(Integer(1, 6), generator) for _ in range(6_000))
    assert sorted(wholes) == [1, 2, 3, 4, 5, 6]
    assert all(abs(count - 1_000) < 120 for count in wholes.values())
    decades = Counter(int(np.floor(np.log10(float(draw(Float(1e-3, 1, log=True), generator))))) for _ in range(3_000))
    assert sorted(decades) == [-3, -2, -1]
    assert all(abs(count - 1_000) < 120 for count in decades.values())
    octaves = [draw(Integer(1, 64, log=True), generator) for _ in range(3_000)]
    assert sum(value <= 8 for value in octaves) / 3_000 == pytest.approx(
        np.log(8.5 / 0.5) / np.log(64.5 / 0.5), abs=0.03
    )


def test_a_neighbour_lies_near_and_in_the_range():
    generator = np.random.default_rng(0)
    rate = Float(1e-4, 1e-1, log=True)
    found = [near(rate, 1e-2, generator) for _ in range(300)]
    assert all(1e-4 <= each <= 1e-1 for each in found)
    assert 0.5 < np.mean([5e-3 < each < 2e-2 for each in found]) < 0.9
    words = [near(Choice("a", "b"), "a", generator) for _ in range(300)]
    assert 0.8 < np.mean([each == "a" for each in words]) < 1.0
    assert isinstance(near(Integer(1, 9), 5, generator), int)
