"""The same 64 configurations and epochs, trained three ways: how long it takes, and whether the scores are the same.

    python benchmarks/throughput.py [--sizes small,medium,large,images] [--repeats 3] [--output FILE.json] [--quick]

a  copied: what tutorials show: an Optuna trial, a ``DataLoader``, AdamW, torch's own number of threads, one by one.
b  plain: a tight loop: rows drawn by index, fused AdamW; on a CPU one process a core, each with one thread.
c  packed: ``Training`` as a search uses it: processes × threads, members a pack and precision as measured here first.

All three start each network from the same weights and judge it after every epoch by log loss on the same 1000 rows;
half of the configurations bend by ReLU and half by SiLU, and all differ in learning rate, weight decay and dropout.
Ways take turns, medians are shown. Processes are started, and have imported what they need, before the clock runs. As
(a) takes minutes, ``--copied N`` trains only N of the 64 that way and counts them for all.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _problems import SIZES, Size, config, problem, train_plain
from torch import Tensor

from autodl.records import TrialConfig
from autodl.training.data import TrainingData
from autodl.training.device import prepare_device, resolve_device
from autodl.training.loop import Limits, Training
from autodl.training.speed import fastest

TARGETS = {"small": (20.0, 2.5), "medium": (3.0, 1.2), "large": (2.5, 1.2), "images": (2.0, 1.2)}


def configurations(size: Size, count: int) -> list[TrialConfig]:
    """Two groups of one structure each, drawn evenly over what searches try."""
    draws = np.random.default_rng(0).uniform(size=(count, 3))
    return [
        config(
            size,
            seed,
            activation="relu" if seed < count // 2 else "silu",
            learning_rate=float(10 ** (-3.5 + 1.3 * rate)),
            weight_decay=float(10 ** (-3 + 2 * decay)),
            dropout=round(0.3 * float(drop), 3),
        )
        for seed, (rate, decay, drop) in enumerate(draws)
    ]


def copied(size: Size, configs: Sequence[TrialConfig], device: torch.device) -> list[float]:
    """(a)"""
    import optuna
    from torch.utils.data import DataLoader, TensorDataset

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = problem(size, device)
    x, y = data.stored["input"].values.cpu()[: size.rows], data.targets.cpu()[: size.rows]

    def objective(trial: optuna.Trial) -> float:
        own = configs[trial.suggest_int("configuration", 0, len(configs) - 1)]
        loader = DataLoader(TensorDataset(x, y), batch_size=size.batch, shuffle=True, drop_last=True)
        return train_plain(size, own, data, lambda: loader, device)

    study = optuna.create_study()
    for index in range(len(configs)):
        study.enqueue_trial({"configuration": index})
    study.optimize(objective, n_trials=len(configs))
    return [float(trial.value or 0.0) for trial in study.trials]


def plain(size: Size, configs: Sequence[TrialConfig], data: TrainingData, device: torch.device) -> list[float]:
    """(b), one process's share."""
    x, y = data.stored["input"].values[: size.rows], data.targets[: size.rows]

    def batches() -> list[tuple[Tensor, Tensor]]:
        order = torch.randperm(size.rows, device=device).split(size.batch)[: size.rows // size.batch]
        return ((x[index], y[index]) for index in order)  # type: ignore[return-value]

    return [train_plain(size, own, data, batches, device, fused=True) for own in configs]


def packed(
    configs: Sequence[TrialConfig], data: TrainingData, device: torch.device, members: int, bf16: bool
) -> list[float]:
    """(c), one process's share: packs of one structure."""
    scores: dict[int, float] = {}
    groups: dict[str, list[TrialConfig]] = {}
    for own in configs:
        groups.setdefault(own.encoders["input"].settings["activation"], []).append(own)
    for group in groups.values():
        for start in range(0, len(group), members):
            training = Training(group[start : start + members], data, device, bf16=bf16)
            for member in training.run(Limits(group[0].epochs)):
                scores[member.config.seed] = math.nan if member.score is None else member.score
    return [scores[own.seed] for own in configs]


def work(pipe: Connection, size: Size, device: torch.device, threads: int, prepared: bool) -> None:
    """A process that trains what it is sent until it is sent nothing."""
    if prepared:
        prepare_device(device, threads)
    torch.set_num_threads(threads)
    data = problem(size, device)
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        way, configs, *rest = job
        if way == "speed":
            pipe.send(fastest(configs[0], data, device))
        elif way == "plain":
            pipe.send(plain(size, configs, data, device))
        else:
            pipe.send(packed(configs, data, device, *rest))


class Pool:
    """Processes that wait for their share of the configurations."""

    def __init__(self, size: Size, device: torch.device, workers: int, threads: int, prepared: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.threads = [], threads
        with environment(OMP_NUM_THREADS=str(threads)):
            for _ in range(workers):
                ours, theirs = context.Pipe()
                context.Process(target=work, args=(theirs, size, device, threads, prepared), daemon=True).start()
                self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def run(self, way: str, configs: Sequence[TrialConfig], *rest: Any) -> list[Any]:
        """Each process's answer; configurations are dealt out evenly, structures together."""
        share = -(-len(configs) // len(self.pipes))
        for index, pipe in enumerate(self.pipes):
            pipe.send((way, configs[index * share : (index + 1) * share], *rest))
        return [pipe.recv() for pipe in self.pipes]

    def close(self) -> None:
        """Let the processes end."""
        for pipe in self.pipes:
            pipe.send(None)


@contextmanager
def environment(**changes: str) -> Any:
    """Start processes with other environment variables than ours."""
    before = dict(os.environ)
    os.environ.update(changes)
    yield
    os.environ.clear()
    os.environ.update(before)


def best_pool(size: Size, configs: Sequence[TrialConfig], device: torch.device) -> tuple[Pool, dict[str, Any]]:
    """Measure processes × threads, members a pack and precision; keep the fastest."""
    cores = os.cpu_count() or 1
    shapes = [(1, 1)] if device.type != "cpu" else list(dict.fromkeys([(cores, 1), (1, cores)]))
    found: list[tuple[float, Pool, dict[str, Any]]] = []
    for workers, threads in shapes:
        pool = Pool(size, device, workers, threads, prepared=True)
        started = time.perf_counter()
        speeds = pool.run("speed", configs)
        seconds = time.perf_counter() - started
        chosen = min(speeds, key=lambda speed: speed.seconds_per_member_step)
        rate = sum(1 / speed.seconds_per_member_step for speed in speeds)
        setting = {"workers": workers, "threads": threads, "members": chosen.pack_size, "bf16": chosen.bf16}
        found.append((rate, pool, {**setting, "measured_in_s": round(seconds, 2)}))
    found.sort(key=lambda each: each[0], reverse=True)
    for _, pool, _ in found[1:]:
        pool.close()
    return found[0][1], found[0][2]


def measure(name: str, size: Size, count: int, few: int, repeats: int, device: torch.device) -> dict[str, Any]:
    """All three ways, in turn."""
    configs = configurations(size, count)
    some = configs[:: max(1, count // few)][:few]
    cores = (os.cpu_count() or 1) if device.type == "cpu" else 1
    tight = Pool(size, device, cores, 1, prepared=False)
    packs, setting = best_pool(size, configs, device)
    ways: dict[str, Callable[[], list[float]]] = {
        "copied": partial(copied, size, some, device),
        "plain": lambda: list(chain(*tight.run("plain", configs))),
        "packed": lambda: list(chain(*packs.run("packed", configs, setting["members"], setting["bf16"]))),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    scores: dict[str, list[float]] = {}
    copied(size, configs[:1], device)  # what is loaded only once
    tight.run("plain", configs[:cores])
    packs.run("packed", configs[: len(packs.pipes)], 1, setting["bf16"])
    for _ in range(repeats):
        for way, train in ways.items():
            started = time.perf_counter()
            scores[way] = train()
            taken = time.perf_counter() - started
            seconds[way].append(taken * count / len(some) if way == "copied" else taken)
    tight.close()
    packs.close()
    return report(name, setting, seconds, scores, configs, some)


def report(
    name: str,
    setting: dict[str, Any],
    seconds: dict[str, list[float]],
    scores: dict[str, list[float]],
    configs: Sequence[TrialConfig],
    some: Sequence[TrialConfig],
) -> dict[str, Any]:
    """Medians, ratios, and the mean difference in log loss with its standard error."""
    medians = {way: statistics.median(each) for way, each in seconds.items()}
    both = np.array(scores["packed"]) - np.array(scores["plain"])
    first = np.array(scores["packed"])[[configs.index(own) for own in some]] - np.array(scores["copied"])

    def ratios(way: str) -> list[float]:
        return [round(other / own, 2) for other, own in zip(seconds[way], seconds["packed"], strict=True)]

    return {
        "size": name,
        "packed_as": setting,
        "seconds": {way: round(value, 2) for way, value in medians.items()},
        "networks_a_second": {way: round(len(configs) / value, 2) for way, value in medians.items()},
        "copied_over_packed": round(statistics.median(ratios("copied")), 2),
        "plain_over_packed": round(statistics.median(ratios("plain")), 2),
        "all_ratios": {"copied": ratios("copied"), "plain": ratios("plain")},
        "asked": TARGETS[name],
        "mean_log_loss": {way: round(float(np.mean(each)), 4) for way, each in scores.items()},
        "packed_minus_plain": mean_and_error(both),
        "packed_minus_copied": mean_and_error(first),
        "copied_networks_trained": len(some),
    }


def mean_and_error(values: np.ndarray) -> list[float]:
    return [round(float(values.mean()), 4), round(float(values.std() / math.sqrt(len(values))), 4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--copied", type=int, default=64, metavar="N", help="how many of them (a) trains")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, help="where to write the JSON")
    parser.add_argument("--quick", action="store_true", help="small tables, 8 networks, once: whether it runs")
    asked = parser.parse_args()
    if asked.quick:
        asked.sizes, asked.networks, asked.copied, asked.repeats = "small", 8, 2, 1
    device = resolve_device(asked.device)
    results = []
    print(f"{'':8}{'networks a second':>27}{'ratio':>20}{'mean log loss':>28}")
    print(
        f"{'size':8}{'copied':>9}{'plain':>9}{'packed':>9}{'c/a':>10}{'c/b':>10}{'copied':>12}{'plain':>8}{'packed':>8}"
    )
    for name in asked.sizes.split(","):
        found = measure(name, SIZES[name], asked.networks, asked.copied, asked.repeats, device)
        results.append(found)
        rates = "".join(f"{value:9.2f}" for value in found["networks_a_second"].values())
        ratios = f"{found['copied_over_packed']:10.2f}{found['plain_over_packed']:10.2f}"
        losses = "{copied:12.4f}{plain:8.4f}{packed:8.4f}".format(**found["mean_log_loss"])
        print(f"{name:8}{rates}{ratios}{losses}   {found['packed_as']}", flush=True)
    text = json.dumps({"device": device.type, "cores": os.cpu_count(), "torch": torch.__version__, "results": results})
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
