from __future__ import annotations

import json
import time
from itertools import pairwise

import numpy as np
import pandas as pd

from autodl.explaining.missing import missing_curve, without
from autodl.metrics import get_metric
from autodl.records import Task

BINARY = Task("y", "binary", ("no", "yes"), "accuracy")
ACCURACY = get_metric("accuracy", BINARY)


def table(rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, rows)
    words = pd.Series([f"word {each}" for each in truth], dtype=object)
    frame = pd.DataFrame(
        {"x": truth + 0.0, "y": words, "day": pd.Timestamp("2026-01-01"), "idle": draw.normal(size=rows)}
    )
    return frame, truth


def predict(frame: pd.DataFrame) -> np.ndarray:
    """What any cell says; no without one, a little unsure of it."""
    said = [
        x if x == x else float(word[-1]) if word is not None else 0.4
        for x, word in zip(frame["x"], frame["y"], strict=True)
    ]
    return np.stack([1 - np.array(said), said], axis=1)


def test_the_score_falls_smoothly_to_the_prior() -> None:
    frame, truth = table()
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    found = missing_curve(predict, frame, truth, ACCURACY, ["x", "y"], shares=shares, seed=3)
    values = [value for value, _, _ in found["scores"]]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1.0
    assert values[-1] == found["prior"] == np.mean(truth == 0)
    assert abs(values[2] - (1 - 0.25 * np.mean(truth == 1))) < 0.06  # both cells of a row are gone in a quarter of them
    assert all(low <= value <= high for value, low, high in found["scores"])
    assert found["rows"] == len(frame)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_is_gone_at_one_share_is_gone_at_every_larger_one() -> None:
    frame, truth = table(50)
    seen: list[pd.DataFrame] = []

    def spy(rows: pd.DataFrame) -> np.ndarray:
        seen.append(rows.isna())
        return predict(rows)

    missing_curve(spy, frame, truth, ACCURACY, ["x", "y", "day"], shares=(0.0, 0.3, 0.6), seed=1)
    counts = [int(each.to_numpy().sum()) for each in seen]
    assert counts == [0, 45, 90, 150]
    for fewer, more in pairwise(seen):
        assert (more | ~fewer).to_numpy().all()
    assert not seen[-1]["idle"].any()


def test_cells_of_every_kind_can_be_empty() -> None:
    image = np.zeros((2, 2), dtype=np.uint8)
    frame = pd.DataFrame(
        {
            "number": [1.5, 2.5],
            "count": [1, 2],
            "flag": [True, False],
            "day": pd.to_datetime(["2026-01-01", "2026-01-02"]),
            "kind": pd.Categorical(["a", "b"]),
            "photo": pd.Series([image, image], dtype=object),
        }
    )
    gone = np.zeros((2, 6), dtype=bool)
    gone[0] = True
    found = without(frame, list(frame.columns), gone)
    assert found.iloc[0].isna().all()
    assert not found.iloc[1].isna().any()
    assert found["photo"][0] is None
    assert not frame.isna().any().any()


def test_little_time_means_fewer_rows_which_are_told() -> None:
    frame, truth = table()

    def slowly(rows: pd.DataFrame) -> np.ndarray:
        time.sleep(0.0005 * len(rows))
        return predict(rows)

    found = missing_curve(slowly, frame, truth, ACCURACY, ["x", "y"], shares=(0.0, 0.5), seconds=0.05)
    assert 20 <= found["rows"] < 60
