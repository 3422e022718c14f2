"""How much a column tells of the target: mutual information from binned training rows."""

from __future__ import annotations

import numpy as np


def bin_codes(values: np.ndarray) -> np.ndarray:
    """Codes from 0: of equally filled bins, of every value that fills bins alone, and of missing ones.

    Rows are cut at (rows)^(1/3) quantiles. A value that a quantile meets gets a bin of its own, so that a column of
    few values, or of many zeros and a tail, loses nothing.

    Shape: rows → rows.
    """
    if values.dtype.kind == "i":
        return _dense(values)
    known = values[~np.isnan(values)]
    if not known.size:
        return np.zeros(len(values), np.int64)
    bins = max(2, round(len(values) ** (1 / 3)))
    edges = np.unique(known)
    if len(edges) > bins:
        edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))
    codes = np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    codes[np.isnan(values)] = 2 * len(edges) + 1
    return _dense(codes)


def mutual_information(x: np.ndarray, y: np.ndarray) -> float:
    """Mutual information of two rows of codes, in nats, less the bias that few rows give it; at least 0.

    Shape:
        x, y: rows, each code from 0 occurring.

    Reference:
        Paninski: Estimation of Entropy and Mutual Information, Neural Computation 15 (2003), on the
        correction of Miller and Madow.
    """
    n, width = len(x), int(y.max()) + 1
    joint = np.bincount(x * width + y).astype(np.float64)
    joint = joint[joint > 0]
    rows, columns = np.bincount(x), np.bincount(y)
    plain = _entropy(rows, n) + _entropy(columns, n) - _entropy(joint, n)
    return max(0.0, plain + (len(rows) + len(columns) - len(joint) - 1) / (2 * n))


def _dense(codes: np.ndarray) -> np.ndarray:
    """The same classes numbered from 0 without gaps."""
    dense: np.ndarray = np.unique(codes, return_inverse=True)[1]
    return dense


def _entropy(counts: np.ndarray, n: int) -> float:
    share = counts / n
    return float(-(share * np.log(share)).sum())
