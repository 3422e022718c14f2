"""The article's perceptron, 2 → 10 → 10 → 1, as a fixed configuration; then the same problem with the search on.

Mean squared error, plain gradient descent on all rows at once, learning rate 0.01, 1000 epochs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_diabetes

import autodl
from autodl import registry
from autodl.records import Column, Component, Task, TrialConfig
from autodl.tasks import TargetScale
from autodl.training.data import training_data
from autodl.training.loop import Limits, Training
from autodl.training.members import Member

PERCEPTRON = TrialConfig(
    modalities={"table": Component("tabular", {"scaling": "standard", "categories": 32})},
    encoders={"table": Component("mlp", {"depth": 2, "width": 10, "activation": "relu", "dropout": 0.0})},
    loss=Component("squared_error"),
    optimizer=Component("sgd", {"learning_rate": 0.01, "weight_decay": 0.0, "momentum": 0.0, "nesterov": False}),
    training={"batch_size": "full", "schedule": "constant"},
    epochs=1000,
    seed=0,
)


def diabetes() -> pd.DataFrame:
    """442 patients: body mass index and a blood value, and how far the disease had gone a year later."""
    return load_diabetes(as_frame=True).frame[["bmi", "s5", "target"]]


def fixed(config: TrialConfig = PERCEPTRON) -> Member:
    """Train one configuration, three quarters of the rows for the weights, the others to judge by."""
    frame = diabetes()
    order = np.random.default_rng(0).permutation(len(frame))
    train, judge = order[: len(frame) * 3 // 4], order[len(frame) * 3 // 4 :]
    targets = frame["target"].to_numpy(np.float64)
    scale = TargetScale(location=(targets[train].mean(),), scale=(targets[train].std(),))
    task = Task(target="target", kind="regression", metric="r2", scales=(scale,))
    columns = [Column("bmi", "number"), Column("s5", "number")]
    modality = registry.modalities.load("tabular")(columns, **config.modalities["table"].settings)
    spec = modality.fit(frame.iloc[train], targets[train], task, seed=0)
    stored = modality.transform(frame)
    data = training_data(
        {"table": stored}, {"table": spec}, targets, task, [(train, judge)], device=torch.device("cpu")
    )
    (member,) = Training([config], data, torch.device("cpu")).run(Limits(until=config.epochs))
    return member


def searched(time: str | None = "1m", trials: int | None = None) -> dict[str, float]:
    """Let the engine choose everything."""
    predictor = autodl.search(diabetes(), "target", metric="r2", time=time, trials=trials)
    return dict(predictor.scores["test"])


if __name__ == "__main__":
    perceptron = fixed()
    print(
        f"the article's: {perceptron.n_parameters} weights, R² {perceptron.score:.3f} at epoch {perceptron.best_epoch}"
    )
    print(f"searched: {searched()}")
