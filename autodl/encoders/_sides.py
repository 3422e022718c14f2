"""Heights and widths of feature maps: how far they can be halved."""

from __future__ import annotations

from typing import TypeAlias

Sides: TypeAlias = tuple[int, int]

SMALLEST = 4
"""A side with fewer pixels is not halved, so that maps keep at least 2×2 cells and can be normalised."""


def factors(sides: Sides) -> Sides:
    """Return by what each side is divided when maps shrink: 2, or 1 where it is small already."""
    height, width = sides
    return 2 if height >= SMALLEST else 1, 2 if width >= SMALLEST else 1


def halved(sides: Sides) -> Sides:
    """Return the sides after 2×2 pooling; an odd last row or column is left out."""
    down, across = factors(sides)
    return sides[0] // down, sides[1] // across


def halvings(sides: Sides, until: int = SMALLEST - 1) -> int:
    """Return how often sides are halved before both are at most ``until``, or too small."""
    count = 0
    while max(sides) > until and factors(sides) != (1, 1):
        sides, count = halved(sides), count + 1
    return count
