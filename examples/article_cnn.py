"""The article's convolutional network as a fixed configuration; then the same problem with the search on.

Two 5×5 convolutions of 10 and 20 maps, each with 2×2 max pooling, 500 hidden units, cross-entropy, learning rate 0.001.
The length of the flattened maps is worked out: 28×28 pixels leave 20 maps of 4×4, which are 320 numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

import autodl
from autodl.records import Component, InputSpec, Stored, Task, TrialConfig
from autodl.training.data import training_data
from autodl.training.loop import Limits, Training
from autodl.training.members import Member

LAYERS = {"blocks": 2, "channels": 10, "growth": 2, "kernel": 5, "padding": "valid", "pool": "max", "dropout": 0.0}
CONVOLUTIONS = TrialConfig(
    modalities={"image": Component("image", {"side": 28})},
    encoders={"image": Component("cnn", {**LAYERS, "dense_depth": 1, "dense_width": 500})},
    loss=Component("cross_entropy", {"label_smoothing": 0.0, "class_weight": 0.0}),
    optimizer=Component("sgd", {"learning_rate": 0.001, "weight_decay": 0.0, "momentum": 0.0, "nesterov": False}),
    training={"batch_size": 4, "schedule": "constant"},
    epochs=10,
    seed=0,
)


def digits() -> tuple[torch.Tensor, np.ndarray]:
    """1797 handwritten digits as 28×28 grey images, each pixel of the 8×8 original three times as large."""
    found = load_digits()
    small = (found.images * 255 / 16).astype(np.uint8)
    large = np.pad(np.kron(small, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))
    return torch.from_numpy(large).unsqueeze(1), found.target


def fixed(config: TrialConfig = CONVOLUTIONS) -> Member:
    """Train one configuration, three quarters of the images for the weights, the others to judge by."""
    images, targets = digits()
    order = np.random.default_rng(0).permutation(len(images))
    parts = order[: len(images) * 3 // 4], order[len(images) * 3 // 4 :]
    shape = tuple(images.shape[1:])
    spec = InputSpec(
        shape, ("image",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape), scale=torch.tensor(1 / 255)
    )
    task = Task(target="digit", kind="multiclass", classes=tuple(range(10)), metric="accuracy")
    stored = Stored(images, torch.ones(len(images), dtype=torch.bool))
    data = training_data({"image": stored}, {"image": spec}, targets, task, [parts], device=torch.device("cpu"))
    (member,) = Training([config], data, torch.device("cpu")).run(Limits(until=config.epochs))
    return member


def searched(time: str | None = "2m", trials: int | None = None) -> dict[str, float]:
    """Let the engine choose everything; it knows these digits by name."""
    predictor = autodl.search("digits", metric="accuracy", time=time, trials=trials)
    return dict(predictor.scores["test"])


if __name__ == "__main__":
    network = fixed()
    print(f"the article's: {network.n_parameters} weights, accuracy {network.score:.3f} at epoch {network.best_epoch}")
    print(f"searched: {searched()}")
