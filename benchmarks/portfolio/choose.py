"""Choose a portfolio from what ``measure.py`` measured, and tell whether it transfers to tables it was not chosen on.

    python benchmarks/portfolio/choose.py [--slots 12] [--keep 1]

Greedy: each next configuration is the one that lowers the mean over tables of the best loss so far the most. Losses
are normalised on each table: 0 is the best of the pool there, 1 the median. The evidence leaves one table out at a
time: chosen on the others, tried on it in the order of choice, the configuration that is best on its validation rows
is judged by its test rows, as a search would. Beside it stand today's recipes in their order and random draws from the
space, in as many slots. Writes ``evidence.json``; prints the table and the recipes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
import pandas as pd

from autodl import registry
from autodl.training.settings import TRAINING_SPACE

SLOTS = (1, 2, 4, 8, 12)
DRAWS = 200
CHEAP = 0.75  # of the pool's median seconds


@dataclass(frozen=True, eq=False)
class Measured:
    """The pool on every table. Matrices are configurations × tables.

    Attributes:
        configs: Source and wishes of each.
        tables: Names.
        validation: Normalised loss on the rows that the best epoch was kept by.
        test: On rows that nothing was chosen by.
        both: On all of them.
        seconds: Of one training, its share of a pack's; mean over tables.
    """

    configs: list[dict[str, Any]]
    tables: list[str]
    validation: np.ndarray
    test: np.ndarray
    both: np.ndarray
    seconds: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Measured:
        """Read what was measured of whole packs; a configuration that was not tried on every table is left out."""
        configs = json.loads((folder / "configs.json").read_text())
        frame = pd.read_csv(folder / "losses.csv")
        frame = frame[frame["config"] < len(configs)]
        matrices = {name: frame.pivot(index="config", columns="table", values=name) for name in frame.columns[2:]}
        validation, test = (_normalised(matrices[name].to_numpy()) for name in ("validation", "test"))
        both = _normalised((matrices["validation"] + matrices["test"]).to_numpy() / 2)
        seconds = matrices["seconds"].mean(axis=1).to_numpy()
        return cls(configs, list(matrices["test"].columns), validation, test, both, seconds)

    def sources(self, start: str) -> np.ndarray:
        """Configurations whose source begins so."""
        return np.flatnonzero([each["source"].startswith(start) for each in self.configs])

    def recipes(self) -> np.ndarray:
        """Today's recipes in their order: the first of each pack of neighbours."""
        named = [each["source"] for each in self.configs]
        return np.array(sorted({name: named.index(name) for name in named if name.startswith("recipe")}.values()))

    def found(self, chosen: Sequence[int] | np.ndarray, table: int) -> float:
        """What a search would hold after trying these: test loss of the best by validation."""
        order = np.asarray(chosen)
        return float(self.test[order[self.validation[order, table].argmin()], table])


def _normalised(losses: np.ndarray) -> np.ndarray:
    losses = np.where(np.isfinite(losses), losses, np.nan)
    best, median = np.nanmin(losses, axis=0), np.nanmedian(losses, axis=0)
    return np.asarray(np.clip(np.nan_to_num((losses - best) / np.maximum(median - best, 1e-12), nan=2.0), 0.0, 2.0))


def greedy(measured: Measured, tables: Sequence[int], slots: int, keep: int) -> list[int]:
    """The portfolio for some tables, in order of choice, after today's first ones; the cheaper of two as good."""
    losses = np.minimum(measured.both[:, tables], 1.0)
    chosen: list[int] = [int(each) for each in measured.recipes()[:keep]]
    best = losses[chosen].min(axis=0, initial=1.0)
    while len(chosen) < slots:
        means = np.minimum(losses, best).mean(axis=1) + 1e-6 * measured.seconds
        means[chosen] = np.inf
        chosen.append(int(means.argmin()))
        best = np.minimum(best, losses[chosen[-1]])
    return chosen


def evidence(measured: Measured, slots: int, keep: int) -> dict[str, Any]:
    """Normalised test loss on each table by the rows of a table that says how the slots were filled."""
    everything = range(len(measured.tables))
    others = [[other for other in everything if other != table] for table in everything]
    portfolios = [greedy(measured, rest, slots, keep) for rest in others]
    generator = np.random.default_rng(0)
    pool = measured.sources("random")
    draws = [generator.permutation(pool)[:slots] for _ in range(DRAWS)]
    recipes = measured.recipes()
    found: dict[str, Any] = {"tables": measured.tables, "configurations": len(measured.configs)}
    for count in [each for each in SLOTS if each <= slots]:
        ways: dict[str, list[float]] = {
            "portfolio, table left out": [measured.found(portfolios[table][:count], table) for table in everything],
            "today's recipes": [measured.found(recipes[:count], table) for table in everything],
            "random": [float(np.mean([measured.found(draw[:count], table) for draw in draws])) for table in everything],
        }
        found[f"{count} slots"] = {way: _summary(losses, ways) for way, losses in ways.items()}
    return found


def _summary(losses: Sequence[float], ways: dict[str, list[float]]) -> dict[str, Any]:
    """Mean, and how the portfolio stands against it: gain, its standard error over tables, tables won and lost."""
    gains = np.subtract(losses, ways["portfolio, table left out"])
    return {
        "mean": round(float(np.mean(losses)), 4),
        "gain of the portfolio": round(float(gains.mean()), 4),
        "standard error": round(float(gains.std(ddof=1) / np.sqrt(len(gains))), 4),
        "won": int((gains > 1e-3).sum()),
        "lost": int((gains < -1e-3).sum()),
        "each": [round(float(loss), 3) for loss in losses],
    }


def recipe(wishes: dict[str, Any]) -> str:
    """A configuration as ``autodl/tuning/portfolio.py`` writes it, without what is at its default."""
    encoder, optimizer = wishes["table.encoder"], wishes["optimizer"]
    known = {
        "settings": (f"table.{encoder}.", registry.encoders.load(encoder).space.defaults()),
        "update": (f"optimizer.{optimizer}.", registry.optimizers.load(optimizer).space.defaults()),
        "training": ("training.", TRAINING_SPACE.defaults()),
        "input": ("table.tabular.", registry.modalities.load("tabular").space.defaults()),
    }
    parts = [f"    {encoder!r},"]
    for argument, (owner, usual) in known.items():
        values = {path.removeprefix(owner): _short(value) for path, value in wishes.items() if path.startswith(owner)}
        named = {
            name: value for name, value in values.items() if name in ("depth", "width") or value != usual.get(name)
        }
        parts += [f'    optimizer="{optimizer}",'] if argument == "update" else []
        parts += [f"    {argument}={pformat(named, width=10_000, sort_dicts=False)},"] if named else []
    smoothing = _short(wishes.get("loss.cross_entropy.label_smoothing", 0.0))
    parts += [f"    smoothing={smoothing},"] if smoothing else []
    return "\n".join(["Recipe(", *parts, "),"]).replace("'", '"')


def _short(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=12)
    parser.add_argument("--keep", type=int, default=1, help="today's first recipes that stay in front")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    known = parser.parse_args()
    measured = Measured.read(known.folder)
    found = evidence(measured, known.slots, known.keep)
    chosen = greedy(measured, range(len(measured.tables)), known.slots, known.keep)
    usual = float(np.median(measured.seconds))
    found["portfolio"] = [
        {
            "config": number,
            "source": measured.configs[number]["source"],
            "seconds": round(float(measured.seconds[number]), 3),
            "cheap": bool(measured.seconds[number] < CHEAP * usual),
            "mean loss so far": round(float(measured.both[chosen[: place + 1]].min(axis=0).mean()), 4),
        }
        for place, number in enumerate(chosen)
    ]
    (known.folder / "evidence.json").write_text(json.dumps(found, indent=1) + "\n")
    for name, ways in found.items():
        if name.endswith("slots"):
            for way, numbers in ways.items():
                print(f"{name:>9}  {way:<27}", *(f"{key} {value}" for key, value in numbers.items() if key != "each"))
    for facts in found["portfolio"]:
        print("#", *(f"{key} {value}" for key, value in facts.items()))
        print(recipe(measured.configs[facts["config"]]["wishes"]))


if __name__ == "__main__":
    main()
