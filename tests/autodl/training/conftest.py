"""Small problems and configurations that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autodl.records import Component, InputSpec, Stored, Task, TrialConfig
from autodl.tasks import TargetScale
from autodl.training.data import TrainingData, training_data

FEATURES = 6
Configure = Callable[..., TrialConfig]


def table_spec(features: int = FEATURES) -> InputSpec:
    names = tuple(f"c{index}" for index in range(features))
    return InputSpec(
        shape=(features,),
        columns=names,
        feature_names=names,
        feature_mask=torch.arange(features),
        baseline=torch.zeros(features),
        numeric=torch.ones(features, dtype=torch.bool),
        quantiles=torch.linspace(-2, 2, 129).unsqueeze(1).expand(129, features).contiguous(),
        relevance=torch.arange(features, 0, -1).float(),
    )


@pytest.fixture
def spec() -> InputSpec:
    return table_spec()


@pytest.fixture
def config() -> Configure:
    """Build a configuration; keywords go to the part that knows them."""

    def build(seed: int = 0, encoder: str = "mlp", epochs: int = 5, loss: str = "", **changes: Any) -> TrialConfig:
        settings = {"depth": 2, "width": 16, "dropout": 0.2} if encoder == "mlp" else {}
        optimizer = {"learning_rate": 0.01, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.99}
        training: dict[str, Any] = {"batch_size": 16, "schedule": "cosine", "clip": 1.0, "ema": 0.9}
        for name, value in changes.items():
            part = settings if name in ("depth", "width", "dropout") else optimizer if name in optimizer else training
            part[name] = value
        return TrialConfig(
            modalities={"table": Component("tabular", {"scaling": "standard"})},
            encoders={"table": Component(encoder, settings)},
            loss=Component(loss or "cross_entropy", {} if loss else {"label_smoothing": 0.0, "class_weight": 0.0}),
            optimizer=Component("adamw", optimizer),
            training=training,
            epochs=epochs,
            seed=seed,
        )

    return build


@pytest.fixture
def problem() -> Callable[..., TrainingData]:
    """Two clouds of points, or a line, made from a seed; one part held out, or every row in one of some folds."""

    def make(
        dtype: torch.dtype = torch.float64, kind: str = "binary", rows: int = 80, folds: int = 1, **more: Any
    ) -> TrainingData:
        generator = np.random.default_rng(0)
        x = generator.normal(size=(rows, FEATURES))
        signal = x[:, 0] - x[:, 1] + 0.3 * generator.normal(size=rows)
        targets = (signal > 0).astype(np.int64) if kind == "binary" else 10 + 5 * signal
        task = Task("y", "binary", ("no", "yes"), "log_loss")
        if kind == "regression":
            scale = TargetScale("none", (float(targets.mean()),), (float(targets.std()),))
            task = Task("y", "regression", metric="rmse", scales=(scale,))
        stored = {"table": Stored(torch.as_tensor(x, dtype=dtype), torch.ones(rows, dtype=torch.bool))}
        everyone = np.arange(rows)
        parts = [(everyone[everyone % folds != fold], everyone[everyone % folds == fold]) for fold in range(folds)]
        if folds == 1:
            parts = [(everyone[:-30], everyone[-30:])]
        return training_data(
            stored, {"table": table_spec()}, targets, task, parts, device=torch.device("cpu"), dtype=dtype, **more
        )

    return make
