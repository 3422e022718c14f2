from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.encoders._sides import factors, halved, halvings


@pytest.mark.parametrize(
    ("sides", "expected"), [((28, 28), (14, 14)), ((7, 4), (3, 2)), ((3, 9), (3, 4)), ((2, 3), (2, 3))]
)
def test_halved(sides: tuple[int, int], expected: tuple[int, int]) -> None:
    assert halved(sides) == expected


@pytest.mark.parametrize(("side", "expected"), [(2, 0), (4, 1), (8, 2), (28, 3), (32, 4), (224, 6)])
def test_halvings_of_squares(side: int, expected: int) -> None:
    assert halvings((side, side)) == expected


def test_halvings_until_a_size() -> None:
    assert halvings((224, 224), until=16) == 4  # 112 56 28 14
    assert halvings((16, 16), until=16) == 0


@given(st.tuples(st.integers(2, 300), st.integers(2, 300)))
def test_sides_never_fall_below_two_and_halving_ends(sides: tuple[int, int]) -> None:
    for _ in range(halvings(sides)):
        assert factors(sides) != (1, 1)
        sides = halved(sides)
        assert min(sides) >= 2
    assert factors(sides) == (1, 1)
