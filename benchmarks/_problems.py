"""The problems that ``pack.py`` and ``throughput.py`` time: rows, configurations, the plain network and its loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autodl.network import Network
from autodl.records import Component, InputSpec, Stored, Task, TrialConfig
from autodl.training.data import TrainingData, training_data

SIDE, CLASSES = 28, 10
HELD_OUT = 1000


@dataclass(frozen=True)
class Size:
    """Training rows, features (0: images of 28×28), width and depth of the network, rows a batch, epochs."""

    rows: int
    features: int
    width: int
    depth: int
    batch: int
    epochs: int


SIZES = {
    "small": Size(800, 20, 64, 2, 64, 8),
    "medium": Size(4000, 30, 128, 3, 256, 4),
    "large": Size(10000, 50, 256, 3, 256, 2),
    "images": Size(3000, 0, 32, 2, 128, 1),
}


def tensors(size: Size) -> tuple[Tensor, Tensor]:
    """Rows and classes: a product and a sum of features decide, or the pattern that an image shows, under noise."""
    generator = torch.Generator().manual_seed(0)
    count = size.rows + HELD_OUT
    if size.features:
        x = torch.randn(count, size.features, generator=generator)
        noise = 0.5 * torch.randn(count, generator=generator)
        return x, (x[:, 0] * x[:, 1] + x[:, 2] + noise > 0).long()
    patterns = torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)
    y = torch.randint(CLASSES, (count,), generator=generator)
    return 0.4 * patterns[y] + torch.randn(count, 1, SIDE, SIDE, generator=generator), y


def problem(size: Size, device: torch.device) -> TrainingData:
    """The same as a pack reads it: one fold, judged by the last rows."""
    x, y = tensors(size)
    shape = tuple(x.shape[1:])
    names = tuple(f"c{index}" for index in range(size.features)) or ("image",)
    owners = torch.arange(size.features) if size.features else torch.zeros(shape, dtype=torch.long)
    spec = InputSpec(shape, names, owners, torch.zeros(shape), names if size.features else ())
    task = Task("y", "binary" if size.features else "multiclass", tuple(range(int(y.max()) + 1)), "log_loss")
    stored = {"input": Stored(x, torch.ones(len(x), dtype=torch.bool))}
    folds = [(np.arange(size.rows), np.arange(size.rows, len(x)))]
    return training_data(stored, {"input": spec}, y.numpy(), task, folds, device=device)


def config(size: Size, seed: int, **changes: float | str) -> TrialConfig:
    """One configuration; ``changes`` go to the part that knows them."""
    encoder: dict[str, float | str | int] = {"dropout": 0.1, "activation": "relu"}
    optimizer: dict[str, float] = {"learning_rate": 1e-3, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999}
    for name, value in changes.items():
        (encoder if name in encoder else optimizer)[name] = value  # type: ignore[assignment]
    if size.features:
        encoder |= {"depth": size.depth, "width": size.width}
    else:
        encoder |= {"blocks": size.depth, "channels": size.width, "growth": 2, "dense_depth": 1, "dense_width": 128}
    return TrialConfig(
        modalities={"input": Component("tabular" if size.features else "image")},
        encoders={"input": Component("mlp" if size.features else "cnn", encoder)},
        loss=Component("cross_entropy", {"label_smoothing": 0.0, "class_weight": 0.0}),
        optimizer=Component("adamw", optimizer),
        training={"batch_size": size.batch},
        epochs=size.epochs,
        seed=seed,
    )


def plain_network(size: Size, config: TrialConfig, data: TrainingData) -> nn.Sequential:
    """What a user would write, with the weights that a pack's member starts from."""
    settings = config.encoders["input"].settings
    bend = {"relu": nn.ReLU, "silu": nn.SiLU}[settings["activation"]]
    rate = float(settings["dropout"])
    layers: list[nn.Module] = []
    inputs, outputs = size.features, data.task.n_outputs
    if size.features:
        for _ in range(size.depth):
            layers += [nn.Linear(inputs, size.width), bend(), nn.Dropout(rate)]
            inputs = size.width
    else:
        channels, side = (1, size.width, 2 * size.width), SIDE // 4
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, padding=1), bend(), nn.MaxPool2d(2)]
        layers += [nn.Dropout2d(rate), nn.Flatten(), nn.Linear(channels[-1] * side**2, 128), bend(), nn.Dropout(rate)]
        inputs = 128
    network = nn.Sequential(*layers, nn.Linear(inputs, outputs))
    start = Network.seeded(config, data.specs, outputs)
    with torch.no_grad():
        for parameter, own in zip(network.parameters(), start.parameters(), strict=True):
            parameter.copy_(own)
    return network


def train_plain(
    size: Size, own: TrialConfig, data: TrainingData, batches: Callable[[], Any], device: torch.device, **adamw: bool
) -> float:
    """Train one network on what ``batches`` yields each epoch; return its lowest log loss."""
    torch.manual_seed(own.seed)
    network = plain_network(size, own, data).to(device)
    chosen = own.optimizer.settings
    rate, decay = chosen["learning_rate"], chosen["weight_decay"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, **adamw)
    criterion = nn.CrossEntropyLoss()
    held, truth = data.stored["input"].values[size.rows :], data.targets[size.rows :]
    best = math.inf
    for _ in range(own.epochs):
        network.train()
        for x, y in batches():
            loss = criterion(network(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            best = min(best, float(criterion(network(held), truth)))
    return best
