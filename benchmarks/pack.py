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

import torch
from _problems import SIZES, Size, config, plain_network, problem
from torch import nn

from autodl.training.data import TrainingData
from autodl.training.device import prepare_device
from autodl.training.loop import Training

EPOCHS = {"small": 16, "medium": 6, "large": 2}
CPU = torch.device("cpu")


def plain(data: TrainingData, size: Size, epochs: int) -> float:
    network = plain_network(size, config(size, 0), data).train()
    x, y = data.stored["input"].values, data.targets
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    start = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(size.rows)
        for step in range(size.rows // size.batch):
            index = order[step * size.batch : (step + 1) * size.batch]
            loss = criterion(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def ours(data: TrainingData, size: Size, epochs: int, members: int = 1) -> float:
    training = Training([config(size, seed) for seed in range(members)], data, CPU)
    start = time.perf_counter()
    for _ in range(epochs):
        training.train_epoch(lambda: False)
    return time.perf_counter() - start


def eight_alone(data: TrainingData, size: Size, epochs: int) -> float:
    return sum(ours(data, size, epochs) for _ in range(8))


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
    prepare_device(CPU, 1)
    for name, epochs in EPOCHS.items():
        size = SIZES[name]
        data = problem(size, CPU)
        one = in_turn(partial(ours, data, size, epochs), partial(plain, data, size, epochs), repeats)
        print(json.dumps({"what": "one member / plain loop", "size": name, **one}), flush=True)
        pack = in_turn(partial(ours, data, size, epochs, members=8), partial(eight_alone, data, size, epochs), repeats)
        print(json.dumps({"what": "pack of 8 / 8 alone", "size": name, **pack}), flush=True)


if __name__ == "__main__":
    main()
