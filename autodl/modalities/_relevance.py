"""How much a column tells of the target: mutual information from binned training rows."""

from __future__ import annotations

import numpy as np

SHUFFLES = 4
TARGETS = 4
"""So many of several targets stand for all of them, spread over their order."""


def bin_codes(values: np.ndarray) -> np.ndarray:
    """Codes from 0: of equally filled bins, of every value that fills bins alone, and of missing ones.

    Rows are cut at (rows)^(1/3) quantiles. A value that a quantile meets gets a bin of its own, so that a column of
    few values, or of many zeros and a tail, loses nothing.

    Shape: rows → rows.
    """
    if values.dtype.kind == "i":
        return np.asarray(values - values.min())
    known = values[~np.isnan(values)]
    if not known.size:
        return np.zeros(len(values), np.int64)
    bins = max(2, round(len(values) ** (1 / 3)))
    edges = np.unique(known)
    if len(edges) > bins:
        edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))
    codes = np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    codes[np.isnan(values)] = 2 * len(edges) + 1
    return np.asarray(codes)


class Goal:
    """A target, and how much any column seems to tell of it by chance.

    Args:
        codes: ``(rows,)``: from 0.
        generator: For the shuffles of the target.

    Reference:
        Vinh, Epps, Bailey: Information Theoretic Measures for Clusterings Comparison: Variants, Properties,
        Normalization and Correction for Chance, JMLR 11 (2010); its expectation is taken over some shuffles here.
    """

    def __init__(self, codes: np.ndarray, generator: np.random.Generator) -> None:
        self.codes = codes
        self.shuffled = [generator.permutation(codes) for _ in range(SHUFFLES)]

    def mutual_information(self, x: np.ndarray) -> float:
        """What a column tells of the target, in nats, less what it tells of the shuffled one; at least 0.

        Shape: rows of codes from 0.
        """
        joint = _joint_entropy(x, self.codes)
        return max(0.0, sum(_joint_entropy(x, codes) for codes in self.shuffled) / SHUFFLES - joint)


def _joint_entropy(x: np.ndarray, y: np.ndarray) -> float:
    counts = np.bincount(x * (int(y.max()) + 1) + y)
    share = counts[counts > 0] / len(x)
    return float(-(share * np.log(share)).sum())


def goals(targets: np.ndarray, generator: np.random.Generator) -> list[Goal]:
    """The target as a goal; of several targets some.

    Shape: rows, or rows targets: class indices (int64) or numbers.
    """
    columns = targets.reshape(len(targets), -1)
    some = np.unique(np.linspace(0, columns.shape[1] - 1, TARGETS).round().astype(np.int64))
    return [Goal(bin_codes(columns[:, place]), generator) for place in some]
