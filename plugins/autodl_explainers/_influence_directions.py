"""Directions in a layer's activations that lead from some rows to others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

TRAINED = 2 / 3  # share of the rows that a direction is fitted to; the others judge it


def direction(of: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a linear classifier, and judge it on the rows of each side that it was not fitted to.

    Activations are brought to one size all together, not unit by unit, and the classifier's weights are held down: else
    units that hardly change would be given the largest weights, and the direction would tell the sides apart without
    leading from one to the other.

    Returns:
        The direction of length 1 in which rows become like the first ones, and the share of rows judged rightly.

    Shape: rows activations, rows activations → activations
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    cut = round(TRAINED * len(of))
    fitted, judged = (np.concatenate([each[part] for each in (of, others)]) for part in (slice(cut), slice(cut, None)))
    centre = fitted.mean(0)
    size = max(float(np.linalg.norm(fitted - centre, axis=1).mean()), 1e-300)
    sides = np.repeat([1, 0], cut)
    classifier = LogisticRegression(max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a direction that is nearly the best one will do
        classifier.fit((fitted - centre) / size, sides)
    right = classifier.predict((judged - centre) / size) == np.repeat([1, 0], len(of) - cut)
    found = classifier.coef_[0]
    return found / max(float(np.linalg.norm(found)), 1e-300), float(right.mean())


def directions(
    of: np.ndarray, others: np.ndarray, rows: int, repeats: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same for some random draws of as many rows from either side.

    Shape: rows activations, rows activations → repeats activations, repeats
    """
    found = []
    for _ in range(repeats):
        sides = (each[generator.permutation(len(each))[:rows]] for each in (of, others))
        found.append(direction(*sides))
    return np.stack([each for each, _ in found]), np.array([accuracy for _, accuracy in found])


def random_directions(
    background: np.ndarray, rows: int, sets: int, repeats: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """The same for sets of background rows drawn by chance, against the rest. Shape: yielded repeats activations."""
    for _ in range(sets):
        order = generator.permutation(len(background))
        yield directions(background[order[:rows]], background[order[rows:]], rows, repeats, generator)[0]
