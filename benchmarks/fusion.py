"""Several kinds of data in one table: what fusing brings, and what is left where cells are missing; several seeds.

    python benchmarks/fusion.py av_digits FOLDER --time 3m             train.csv and test.csv in it; so av_digits_hard
    python benchmarks/fusion.py stamps FOLDER --time 5m --seeds 0 1    stamps.csv in it
    python benchmarks/fusion.py fine_foods FOLDER --time 3m --no-pretrained
    python benchmarks/fusion.py reuters FOLDER --time 3m               reuters-r8_train.csv.gz and …_test.csv.gz

One JSON line a seed, the means last. ``fused`` is the test score of the whole command, as a user types it; ``compared``
what its predictor says of each input alone, of their late fusion and of the networks that fuse them, with intervals;
``removed`` the score where that share of the cells that the predictor uses is taken from the test rows; ``prior`` that
of the training rows' class shares. ``--no-pretrained`` leaves out what comes with the extra of that name. Options not
known here are handed on to ``autodl search``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import autodl
from autodl.data.dataset import DataOptions
from autodl.predictor import Predictor
from autodl.space import Choice
from autodl.tuning.options import SearchOptions
from autodl.tuning.search import build_space

STAMPS = ("animals", "town", "food", "vehicles", "household", "plants", "seasonal", "clothes")
REMOVED = (0.3,)
PRETRAINED = ("pretrained", "imagenet", "efficientnet")
"""How options begin that stand for what comes with the extra."""


@dataclass(frozen=True)
class Problem:
    """One table, split.

    Attributes:
        train: Rows to learn from.
        test: Rows to test on.
        target: The column to predict.
        metric: What the figures are in.
        root: Where paths in cells start.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    target: str
    metric: str
    root: Path

    @property
    def prior(self) -> float:
        """The score of who knows the training rows' classes alone."""
        if self.metric == "roc_auc":
            return 0.5
        return float((self.test[self.target] == self.train[self.target].mode()[0]).mean())


def av_digits(folder: Path, suffix: str = "") -> Problem:
    """A spoken digit and its picture; who speaks is no input."""
    train, test = (read(folder / f"{part}{suffix}.csv").drop(columns="speaker") for part in ("train", "test"))
    return Problem(train, test, "digit", "accuracy", folder)


def stamps(folder: Path, seed: int) -> Problem:
    """Pictures with captions in two languages, speech, noises and numbers, many of them missing."""
    table = read(folder / "stamps.csv").drop(columns=["id", "subcategory"])  # they give the answer away
    table = table[table["category"].isin(STAMPS)]
    train, test = train_test_split(table, test_size=0.25, random_state=seed, stratify=table["category"])
    return Problem(train, test, "category", "accuracy", folder)


def words(folder: Path, name: str, target: str, metric: str) -> Problem:
    """Texts with a label."""
    train, test = (read(folder / f"{name}_{part}.csv.gz") for part in ("train", "test"))
    return Problem(train, test, target, metric, folder)


PROBLEMS: dict[str, Callable[[Path, int], Problem]] = {
    "av_digits": lambda folder, _: av_digits(folder),
    "av_digits_hard": lambda folder, _: av_digits(folder, "_hard"),
    "stamps": stamps,
    "fine_foods": lambda folder, _: words(folder, "fine_foods", "score", "roc_auc"),
    "reuters": lambda folder, _: words(folder, "reuters-r8", "label", "accuracy"),
}


def read(path: Path) -> pd.DataFrame:
    """A table in which nothing but an empty cell is missing."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def without_pretrained(table: Path, problem: Problem) -> str:
    """The search space less what comes with the extra, as TOML."""
    space, _ = build_space(str(table), DataOptions(target=(problem.target,), root=str(problem.root)), SearchOptions())
    lines = []
    for knob in space.knobs.values():
        options = knob.dimension.options if isinstance(knob.dimension, Choice) else ()
        kept = [option for option in options if not str(option).startswith(PRETRAINED)]
        if len(kept) < len(options):
            *outer, name = map(json.dumps, knob.keys)
            lines += [f"[{'.'.join(outer)}]", f"{name} = {json.dumps(kept)}"]
    return "\n".join([*lines, ""])


def searched(problem: Problem, folder: Path, pretrained: bool, further: Sequence[str]) -> tuple[Predictor, float]:
    """The predictor that the command leaves, and how long it took."""
    for name in ("train", "test"):
        getattr(problem, name).to_csv(folder / f"{name}.csv", index=False)
    command = [sys.executable, "-m", "autodl", "search", f"{folder}/train.csv", "--test", f"{folder}/test.csv"]
    command += ["--target", problem.target, "--root", str(problem.root), "--output", f"{folder}/run", *further]
    if not pretrained:
        (folder / "space.toml").write_text(without_pretrained(folder / "train.csv", problem), encoding="utf-8")
        command += ["--space", f"{folder}/space.toml"]
    start = time.perf_counter()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return autodl.load(folder / "run"), wall


def with_gaps(table: pd.DataFrame, columns: Sequence[str], share: float, seed: int) -> pd.DataFrame:
    """The table with that share of the columns' cells taken away, anywhere."""
    chance = np.random.default_rng(seed)
    gaps = {name: table[name].astype(object).mask(chance.random(len(table)) < share, None) for name in sorted(columns)}
    return table.assign(**gaps)


def once(problem: Problem, seed: int, known: argparse.Namespace, further: Sequence[str]) -> dict[str, Any]:
    """All that is measured with one seed."""
    with TemporaryDirectory() as place:
        wanted = [*further, "--time", known.time, "--seed", str(seed)]
        predictor, wall = searched(problem, Path(place), not known.no_pretrained, wanted)
    metric = problem.metric
    compared = predictor.facts.get("modalities", {}).get("compared", [])

    def gap_score(share: float) -> float:
        table = with_gaps(problem.test, predictor.columns, share, seed)
        return predictor.evaluate(table, root=problem.root)[metric]

    return {
        "seed": seed,
        "metric": metric,
        "fused": predictor.scores["test"][metric],
        "compared": {each["name"]: each["test"].get(metric) for each in compared},
        "removed": {f"{share:.0%}": gap_score(share) for share in known.removed},
        "prior": problem.prior,
        "wall_s": round(wall, 2),
    }


def means(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Over seeds; of what is compared the values, without their intervals."""
    compared: dict[str, list[float]] = {}
    for each in found:
        for name, value in each["compared"].items():
            if value is not None:
                compared.setdefault(name, []).append(value[0])

    def mean(values: Sequence[float]) -> float:
        return round(float(np.mean(values)), 4)

    return {
        "mean of": len(found),
        "fused": mean([each["fused"] for each in found]),
        "compared": {name: mean(values) for name, values in compared.items()},
        "removed": {share: mean([each["removed"][share] for each in found]) for share in found[0]["removed"]},
        "prior": mean([each["prior"] for each in found]),
        "wall_s max": max(each["wall_s"] for each in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("folder", type=Path, help="where its tables are; paths in cells start there")
    parser.add_argument("--time", default="3m", help="wall time of each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--removed", type=float, nargs="+", default=REMOVED, help="shares of cells to take away")
    parser.add_argument("--no-pretrained", action="store_true", help="leave the extra's tables and weights out")
    known, further = parser.parse_known_args()
    found = []
    for seed in known.seeds:
        problem = PROBLEMS[known.problem](known.folder.absolute(), seed)
        found.append(once(problem, seed, known, further))
        print(json.dumps(found[-1]), flush=True)
    print(json.dumps({"problem": known.problem, "time": known.time, **means(found)}))


if __name__ == "__main__":
    main()
