"""One member against a plain PyTorch loop, and a pack of K against K trainings, in one run, as ratios.

    python benchmarks/pack.py [--repeats 7]

Plain: the loop of a good engineer: index tensors, no DataLoader, ``torch.optim.AdamW`` as it comes, one thread.
Ours: the same network, rows, batch size, dropout, optimizer and steps through ``autodl.training.loop.Training``.
Neither judges an epoch inside the timed part. Medians of repeats, in turn (A B A B …).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from autodl.records import Component, InputSpec, Stored, Task, TrialConfig
from autodl.training.data import TrainingData, training_data
from autodl.training.loop import Training

SIZES = {"small": (800, 20, 64, 2, 64), "medium": (4000, 30, 128, 3, 256), "large": (10000, 50, 256, 3, 256)}
EPOCHS = {"small": 16, "medium": 6, "large": 2}


def problem(rows: int, features: int) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator)
    targets = (x[:, 0] * x[:, 1] + x[:, 2] > 0).long().numpy()
    names = tuple(f"c{index}" for index in range(features))
    spec = InputSpec((features,), names, torch.arange(features), torch.zeros(features), names)
    task = Task("y", "binary", (0, 1), "log_loss")
    stored = {"table": Stored(x, torch.ones(rows, dtype=torch.bool))}
    parts = (np.arange(rows), np.arange(10))
    return training_data(stored, {"table": spec}, targets, task, parts, device=torch.device("cpu"))


def config(seed: int, width: int, depth: int, batch: int, epochs: int) -> TrialConfig:
    return TrialConfig(
        modalities={"table": Component("tabular")},
        encoders={"table": Component("mlp", {"depth": depth, "width": width, "dropout": 0.1})},
        loss=Component("cross_entropy", {"label_smoothing": 0.0, "class_weight": 0.0}),
        optimizer=Component("adamw", {"learning_rate": 1e-3, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999}),
        training={"batch_size": batch},
        epochs=epochs,
        seed=seed,
    )


def plain(data: TrainingData, width: int, depth: int, batch: int, epochs: int) -> float:
    torch.manual_seed(0)
    x, y = data.train.stored["table"].values, data.train.targets
    layers: list[nn.Module] = []
    inputs = x.shape[1]
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.1)]
        inputs = width
    network = nn.Sequential(*layers, nn.Linear(inputs, 2)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    start = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for step in range(len(x) // batch):
            index = order[step * batch : (step + 1) * batch]
            loss = criterion(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def ours(data: TrainingData, width: int, depth: int, batch: int, epochs: int, members: int = 1) -> float:
    configs = [config(seed, width, depth, batch, epochs) for seed in range(members)]
    training = Training(configs, data, torch.device("cpu"))
    start = time.perf_counter()
    for epoch in range(epochs):
        training.epoch = epoch
        training.train_epoch(lambda: False)
    return time.perf_counter() - start


def eight_alone(data: TrainingData, *shape: int) -> float:
    return sum(ours(data, *shape) for _ in range(8))


def in_turn(first: Callable[[], float], second: Callable[[], float], repeats: int) -> dict[str, float]:
    first(), second()
    pairs = [(first(), second()) for _ in range(repeats)]
    ratios = sorted(a / b for a, b in pairs)
    return {
        "first_s": round(statistics.median(a for a, _ in pairs), 4),
        "second_s": round(statistics.median(b for _, b in pairs), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    for name, (rows, features, width, depth, batch) in SIZES.items():
        data, shape = problem(rows, features), (width, depth, batch, EPOCHS[name])
        one = in_turn(partial(ours, data, *shape), partial(plain, data, *shape), repeats)
        print(json.dumps({"what": "one member / plain loop", "size": name, **one}), flush=True)
        pack = in_turn(partial(ours, data, *shape, members=8), partial(eight_alone, data, *shape), repeats)
        print(json.dumps({"what": "pack of 8 / 8 alone", "size": name, **pack}), flush=True)


if __name__ == "__main__":
    main()
