"""Shapley values and integrated gradients against Captum's and shap's: error, seconds, distance from the bare model.

    python benchmarks/explain.py [--rows 256] [--features 30] [--repeats 5] [--slow 8] [--output FILE.json]

A perceptron of 128-128 with random weights × 2.25 and one baseline row of zeros. Errors are relative, in L2, over all
rows and features, against 1,500 orders and their reverses (whose own error is printed); seconds are medians over
repeats in which methods take turns, of one thread; ``x forward`` is how many times longer than what the model alone
takes for as many rows, 1,024 at a time. Methods that go row by row explain ``--slow`` rows, and are counted for all.
What is not installed is left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
import json
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autodl.attribution import Players, Question
from autodl.registry import explainers

SCALE, HIDDEN, BATCH = 2.25, 128, 1024


class Named(nn.Module):
    """A network that takes its one input by name."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Shape: {table: batch features} → batch outputs."""
        return self.net(inputs["table"])


@dataclass(frozen=True)
class Job:
    """What is to be explained."""

    net: nn.Module
    x: Tensor
    baseline: Tensor

    def question(self) -> Question:
        """As our explainers are asked."""
        count = self.x.shape[1]
        players = Players(tuple(f"x{i}" for i in range(count)), {"table": torch.arange(count)})
        inputs, baseline = {"table": self.x}, {"table": self.baseline}
        return Question(Named(self.net), inputs, 0, {}, players, baseline, baseline)


@dataclass(frozen=True)
class Method:
    """A way to explain: what it is asked, on how many of the rows, with how many evaluations a row."""

    name: str
    run: Callable[[Job], Tensor]
    evaluations: int
    rows: int


def job(rows: int, features: int, seed: int = 0) -> Job:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [features, HIDDEN, HIDDEN, 2]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter *= SCALE
        return Job(net, torch.randn(rows, features), torch.zeros(1, features))


def truth(task: Job, pairs: int, features: int) -> tuple[Tensor, float]:
    """Shapley values from many orders and their reverses, and the relative error of these."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(len(task.x), features, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for _ in range(pairs):
        order, mean = torch.randperm(features, generator=generator), torch.zeros_like(total)
        for each in (order, order.flip(0)):
            present = each.argsort() < torch.arange(features + 1).unsqueeze(1)
            mixed = torch.where(present.unsqueeze(1), task.x, task.baseline).flatten(0, 1)
            outputs = torch.cat([task.net(part)[:, 0] for part in mixed.split(BATCH)]).double()
            mean[:, each] += outputs.view(features + 1, -1).diff(dim=0).T / 2
        total += mean
        squares += mean**2
    found = total / pairs
    variance = (squares / pairs - found**2).clamp_min(0) / pairs
    return found, float(variance.sum().sqrt() / found.norm())


def ours(name: str, **settings: Any) -> Callable[[Job], Tensor]:
    explainer = explainers.load(name)(**settings)
    return lambda task: explainer.attribute(task.question()).values


def captum_method(name: str, **settings: Any) -> Callable[[Job], Tensor]:
    import captum.attr

    def run(task: Job) -> Tensor:
        method = getattr(captum.attr, name)(task.net)
        return method.attribute(task.x, baselines=task.baseline, target=0, **settings)

    return run


def shap_method(name: str, evaluations: int) -> Callable[[Job], Tensor]:
    import shap

    def run(task: Job) -> Tensor:
        call = lambda t: task.net(torch.as_tensor(t, dtype=torch.float32))[:, 0].numpy()  # noqa: E731
        x, baseline = task.x.numpy(), task.baseline.numpy()
        if name == "kernel":
            found = shap.KernelExplainer(call, baseline).shap_values(x, nsamples=evaluations, silent=True, l1_reg=False)
        else:
            explainer = shap.PermutationExplainer(call, shap.maskers.Independent(baseline), seed=0)
            found = explainer(x, max_evals=evaluations, silent=True).values
        return torch.as_tensor(found)

    return run


def shapley_methods(rows: int, slow: int) -> list[Method]:
    """Ours at several evaluations, and every peer that is installed."""
    found = [
        Method(f"shapley {count}", ours("shapley", evaluations=count, tolerance=0.0), count, rows)
        for count in (128, 256, 480, 512, 1024)
    ]
    sampling = captum_method("ShapleyValueSampling", n_samples=25)
    found.append(Method("captum ShapleyValueSampling 25 orders", sampling, 750, rows))
    found.append(Method("captum KernelShap 750", captum_method("KernelShap", n_samples=750), 750, slow))
    if importlib.util.find_spec("shap"):
        found.append(Method("shap KernelExplainer 750", shap_method("kernel", 750), 750, slow))
        found.append(Method("shap PermutationExplainer 12 orders", shap_method("permutation", 24 * 31), 24 * 31, slow))
    return found


def forward(task: Job, count: int) -> float:
    """What the model alone takes for so many rows."""
    batch = task.x.repeat(-(-BATCH // len(task.x)), 1)[:BATCH]
    started = time.perf_counter()
    for _ in range(-(-count // BATCH)):
        task.net(batch)
    return (time.perf_counter() - started) * count / (-(-count // BATCH) * BATCH)


def compare_shapley(task: Job, slow: int, repeats: int, pairs: int) -> list[dict[str, Any]]:
    rows, features = task.x.shape
    exact, own_error = truth(task, pairs, features)
    methods = shapley_methods(rows, slow)
    seconds: dict[str, list[float]] = {method.name: [] for method in methods}
    bare: dict[str, list[float]] = {method.name: [] for method in methods}
    errors: dict[str, float] = {}
    for method in methods:
        method.run(replace(task, x=task.x[:2]))  # what is loaded or compiled only once
    for _ in range(repeats):
        for method in methods:
            part = replace(task, x=task.x[: method.rows])
            started = time.perf_counter()
            values = method.run(part)
            seconds[method.name].append((time.perf_counter() - started) * rows / method.rows)
            bare[method.name].append(forward(task, method.evaluations * rows))
            errors[method.name] = float((values - exact[: method.rows]).norm() / exact[: method.rows].norm())
    lines = []
    for method in methods:
        middle = statistics.median(seconds[method.name])
        lines.append({
            "method": method.name,
            "evaluations": method.evaluations,
            "error": round(errors[method.name], 4),
            "seconds": round(middle, 4),
            "x forward": round(middle / statistics.median(bare[method.name]), 2),
        })  # fmt: skip
    return [{"reference": f"{pairs} pairs of orders", "its own error": round(own_error, 4)}, *lines]


def ratios(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How much faster ours is than each peer, at the fewest evaluations with which it errs no more."""
    mine = [line for line in lines if line.get("method", "").startswith("shapley ")]
    found = []
    for peer in lines:
        if "method" not in peer or peer in mine:
            continue
        good = next((line for line in mine if line["error"] <= peer["error"]), None)
        if good is not None:
            speed = round(peer["seconds"] / good["seconds"], 1)
            found.append({"peer": peer["method"], "ours": good["method"], "times faster": speed})
    return found


def compare_gradients(task: Job, repeats: int) -> list[dict[str, Any]]:
    """Integrated gradients by Captum, and ours: at the same fixed steps, and with rows that miss refined."""
    runs = {
        "captum": captum_method("IntegratedGradients", n_steps=50),
        "fixed steps": ours("integrated_gradients", steps=50, tolerance=1e6),
        "refined": ours("integrated_gradients", steps=50),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, Tensor] = {}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            values[name] = run(task)
            seconds[name].append(time.perf_counter() - started)
    mid = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    return [
        {
            "method": f"integrated gradients, 50 steps, {name}",
            "seconds": round(mid[name], 4),
            "times faster than Captum": round(mid["captum"] / mid[name], 1),
            "largest difference from Captum": float((values[name] - values["captum"]).abs().max()),
        }
        for name in runs
    ]


def memory_of(run: Callable[[], object]) -> float:
    """Megabytes of the process at its largest while something runs, above what it held before."""

    def held() -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1])

    gc.collect()
    before, most, done = held(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    done.set()
    watcher.join()
    return (most - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow", type=int, default=8, help="rows that methods explain which go row by row")
    parser.add_argument("--pairs", type=int, default=1500, help="pairs of orders of the reference")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    large = job(1000, arguments.features)
    memory = memory_of(lambda: ours("integrated_gradients", steps=50)(large))
    task = job(arguments.rows, arguments.features)
    with torch.no_grad():
        lines = compare_shapley(task, arguments.slow, arguments.repeats, arguments.pairs)
    lines += ratios(lines)
    lines += compare_gradients(task, arguments.repeats)
    lines.append({"method": "integrated gradients, 1,000 rows, 50 steps", "MB above the model": round(memory, 1)})
    for line in lines:
        print(json.dumps(line))
    if arguments.output:
        arguments.output.write_text("\n".join(map(json.dumps, lines)) + "\n")


if __name__ == "__main__":
    main()
