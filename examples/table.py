"""A table as tables are: numbers, categories, dates, and cells that nobody filled in."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

import autodl


def write_table(path: Path) -> pd.DataFrame:
    """Write 569 biopsies as a CSV file: some measures as numbers, one as a category, one as a date."""
    found = load_breast_cancer(as_frame=True)
    chance = np.random.default_rng(0)
    frame = found.frame[["mean radius", "mean texture", "mean smoothness", "worst concavity"]].copy()
    frame["size"] = pd.qcut(found.frame["worst area"], 3, labels=["small", "middling", "large"]).astype(object)
    frame["seen on"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(found.frame["mean area"].rank() // 2, unit="D")
    for column in frame.columns:
        frame.loc[chance.random(len(frame)) < 0.1, column] = None
    frame["diagnosis"] = np.where(found.frame["target"] == 1, "benign", "malignant")
    frame.to_csv(path, index=False)
    return frame


def main(folder: Path, time: str | None = "1m", trials: int | None = None) -> dict[str, float]:
    """Search, save, load again, predict."""
    frame = write_table(folder / "biopsies.csv")
    autodl.search(folder / "biopsies.csv", "diagnosis", time=time, trials=trials, output=folder / "run")
    predictor = autodl.load(folder / "run")
    print(predictor.predict(frame.drop(columns="diagnosis").head()))
    print(predictor.predict_proba(frame.drop(columns="diagnosis").head()))
    return dict(predictor.scores["test"])


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        print(main(Path(temporary)))
