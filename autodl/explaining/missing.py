"""How the score falls as cells go missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from autodl.intervals import bootstrap_interval
from autodl.metrics import Metric

SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
LEAST_ROWS = 20
Predict = Callable[[pd.DataFrame], np.ndarray]


def missing_curve(
    predict: Predict,
    frame: pd.DataFrame,
    truth: np.ndarray,
    metric: Metric,
    columns: Sequence[str],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return the score against the share of cells that are taken away, as JSON values.

    All cells of the columns stand in one order drawn by chance, and the first ones of it go: what is missing at one
    share is missing at every larger one. ``scores`` holds ``[value, low, high]`` for each share, the ends those of 95 %
    bootstrap intervals over rows; ``prior`` is the score without any cell.

    Args:
        predict: A frame → predictions as metrics take them.
        frame: Rows that nothing was fitted on.
        truth: Their targets.
        metric: By which predictions are judged.
        columns: The columns that lose cells, any that predictions rest on.
        shares: Of the cells.
        seed: Of the order, and of the bootstrap.
        seconds: Wall time, about: where it is short fewer rows are asked, drawn by chance; ``rows`` says how many.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(frame))
    if seconds is not None:
        order = order[: _affordable(predict, frame.iloc[order], seconds / (len(shares) + 1))]
    rows = np.sort(order)
    frame, truth = frame.iloc[rows].reset_index(drop=True), truth[rows]
    cells = len(frame) * len(columns)
    place = generator.permutation(cells).reshape(len(frame), len(columns))
    scores = []
    for share in shares:
        found = predict(without(frame, columns, place < round(share * cells)))
        low, high = bootstrap_interval(metric.function, truth, found, seed=seed)
        scores.append([_json(value) for value in (metric.function(truth, found), low, high)])
    nothing = predict(without(frame, columns, np.ones_like(place, dtype=bool)))
    return {
        "shares": [float(share) for share in shares],
        "scores": scores,
        "prior": _json(metric.function(truth, nothing)),
        "metric": metric.name,
        "rows": len(frame),
    }


def without(frame: pd.DataFrame, columns: Sequence[str], gone: np.ndarray) -> pd.DataFrame:
    """The same rows with some cells empty. Shape of ``gone``: rows columns."""
    changed = {}
    for column, mask in zip(columns, gone.T, strict=True):
        cells = frame[column]
        if cells.dtype == object:  # paths, words, arrays: nothing is None there
            kept = cells.to_numpy(copy=True)
            kept[mask] = None
            changed[column] = pd.Series(kept, index=frame.index, dtype=object)
        else:
            changed[column] = cells.mask(mask)
    return frame.assign(**changed)


def _affordable(predict: Predict, frame: pd.DataFrame, seconds: float) -> int:
    """Rows that are predicted within a time."""
    some = frame.iloc[:LEAST_ROWS]
    predict(some)  # the first call takes longer
    started = time.perf_counter()
    predict(some)
    each = (time.perf_counter() - started) / max(1, len(some))
    return min(len(frame), max(LEAST_ROWS, int(seconds / max(each, 1e-9))))


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
