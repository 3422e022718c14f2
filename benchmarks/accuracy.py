"""Ours and every peer that is installed on one table: same split, same wall time; a table of test scores, JSON out.

    python benchmarks/accuracy.py churn.csv.gz churn --time 60
    python benchmarks/accuracy.py ames.parquet Sale_Price --peers none --seed 1 --output ames.json

A quarter of the rows that have a target is held out (``random_state=0``, by classes where there are any). Ours is the
command as a user types it, over files: ``autodl search`` on the other rows, whole wall time measured, then ``autodl
predict``. A search keeps test rows of its own; peers train on all they get, so ours is told ``--test-share 0.01`` (or
what a row a class takes). Options not known here are handed on to ``autodl search``. Each peer runs in a process of its
own with the same cores; its time is that of its fit, without the import. Peers that know a time limit are given
``--time``, the others run at their defaults. A missing package or a crash is a row with its reason.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, log_loss, r2_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

PEERS = (
    *("hist_gradient_boosting", "hist_gradient_boosting_stopped", "lightgbm", "catboost"),
    *("flaml", "autogluon", "realmlp"),
)
FEW_CLASSES = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One table, split.

    Attributes:
        train: Rows to learn from, the target among the columns.
        test: Rows held out, without their target.
        truth: Their target.
        target: Its name.
        kind: ``binary``, ``multiclass`` or ``regression``.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    truth: pd.Series
    target: str
    kind: str

    @classmethod
    def read(cls, path: Path, target: str, kind: str | None) -> Problem:
        """Read and split."""
        frame = _read(path).dropna(subset=[target]).reset_index(drop=True)
        kind = kind or _kind(frame[target])
        if kind != "regression":
            labels = frame[target]
            whole = pd.api.types.is_float_dtype(labels) and not (labels % 1).any()
            frame[target] = (labels.astype(int) if whole else labels).astype(str)
        classes = None if kind == "regression" else frame[target]
        train, test = train_test_split(frame, test_size=0.25, random_state=0, stratify=classes)
        return cls(train, test.drop(columns=target), test[target], target, kind)

    @property
    def classes(self) -> list[str]:
        """As ``predictions`` has them, in order."""
        return [] if self.kind == "regression" else sorted(self.train[self.target].unique())

    def scores(self, predictions: np.ndarray) -> Row:
        """Test scores. Shape: rows classes, or rows → {metric: value}."""
        if self.kind == "regression":
            return {
                "rmse": float(root_mean_squared_error(self.truth, predictions)),
                "r2": float(r2_score(self.truth, predictions)),
            }
        shares = predictions / predictions.sum(axis=1, keepdims=True)
        labels = np.asarray(self.classes)
        found = {
            "logloss": float(log_loss(self.truth, shares, labels=labels)),
            "acc": float(accuracy_score(self.truth, labels[shares.argmax(axis=1)])),
        }
        if self.kind == "binary":
            found["auc"] = float(roc_auc_score(self.truth == labels[1], shares[:, 1]))
        return found


def _read(path: Path) -> pd.DataFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".parquet" in suffixes or ".pq" in suffixes:
        return pd.read_parquet(path)
    if {".json", ".jsonl", ".ndjson"} & {*suffixes}:
        return pd.read_json(path, lines=True)
    return pd.read_csv(path, sep="\t" if {".tsv", ".tab"} & {*suffixes} else ",")


def _kind(target: pd.Series) -> str:
    different = target.nunique()
    if different == 2:
        return "binary"
    words = not pd.api.types.is_numeric_dtype(target)
    return "multiclass" if words or different <= FEW_CLASSES else "regression"


def ours(problem: Problem, folder: Path, seconds: float, seed: int, further: list[str]) -> Row:
    """The command, as a user types it."""
    problem.train.to_csv(folder / "train.csv", index=False)
    problem.test.to_csv(folder / "test.csv", index=False)
    share = max(0.01, 1.5 * len(problem.classes) / len(problem.train))
    search = ["search", "train.csv", "--target", problem.target, "--task", problem.kind, "--time", f"{seconds}s"]
    search += ["--seed", str(seed), "--test-share", f"{share:.4f}", "--output", "run", "--quiet", *further]
    started = time.perf_counter()
    error = _command(search, folder)
    wall = time.perf_counter() - started
    flags = [] if problem.kind == "regression" else ["--probabilities"]
    error = error or _command(["predict", "run", "test.csv", "--output", "predicted.csv", *flags], folder)
    if error:
        return {"seconds": wall, "reason": error}
    answers = pd.read_csv(folder / "predicted.csv")
    shares = [f"probability_{label}" for label in problem.classes]
    predictions = answers[shares] if shares else answers.iloc[:, 0]
    return {**problem.scores(predictions.to_numpy(float)), "seconds": wall}


def _command(arguments: list[str], folder: Path) -> str:
    """Run our command; the reason why it failed, or nothing."""
    command = [sys.executable, "-m", "autodl", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return _last_line(done.stderr) or f"exit {done.returncode}" if done.returncode else ""


def peer(name: str, problem: Problem, folder: Path, seconds: float, seed: int) -> Row:
    """One peer in a process of its own, which writes its predictions as plain arrays."""
    problem.train.to_parquet(folder / "train.parquet")
    problem.test.to_parquet(folder / "test.parquet")
    order = {"name": name, "target": problem.target, "kind": problem.kind, "seconds": seconds, "seed": seed}
    (folder / "order.json").write_text(json.dumps({**order, "classes": problem.classes}))
    command = [sys.executable, str(Path(__file__).with_name("_peers.py").absolute())]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=600 + 10 * seconds
        )
    except subprocess.TimeoutExpired:
        return {"reason": "not done after ten times the time and ten minutes"}
    if done.returncode:
        return {"reason": _last_line(done.stderr) or f"exit {done.returncode}"}
    answer = json.loads((folder / "answer.json").read_text())
    return {**problem.scores(np.load(folder / "predictions.npy")), **answer}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


def table(rows: list[Row]) -> str:
    """The rows as a table, best first."""
    best_first = sorted(rows, key=lambda row: float(row.get("logloss") or row.get("rmse") or math.inf))
    metrics = [name for name in ("logloss", "acc", "auc", "rmse", "r2", "seconds") if any(name in row for row in rows)]
    lines = [f"{'':<30}" + "".join(f"{name:>12}" for name in metrics)]
    for row in best_first:
        numbers = "".join(f"{row[name]:>12.5g}" if name in row else f"{'-':>12}" for name in metrics)
        lines.append(f"{row['name']:<30}{numbers}  {row.get('reason', '')}".rstrip())
    return "\n".join(lines)


def _wanted(text: str) -> list[str]:
    if text in ("all", "none"):
        return list(PEERS) if text == "all" else []
    unknown = {*text.split(",")} - {*PEERS}
    if unknown:
        sys.exit(f"--peers takes all, none or names out of {', '.join(PEERS)}, however {', '.join(unknown)} came")
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, metavar="TABLE", help="CSV, TSV, JSON lines (also compressed), Parquet")
    parser.add_argument("target", metavar="TARGET", help="column to predict")
    parser.add_argument("--time", type=float, default=60.0, help="seconds for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", choices=("binary", "multiclass", "regression"), help="default: inferred")
    parser.add_argument("--peers", default="all", help=f"all, none or some of {','.join(PEERS)}")
    parser.add_argument("--output", type=Path, help="where the JSON goes; default: after the table")
    known, further = parser.parse_known_args()
    peers = _wanted(known.peers)
    problem = Problem.read(known.table, known.target, known.task)
    rows: list[Row] = []
    for name in ("autodl", *peers):
        with TemporaryDirectory() as place:
            folder = Path(place)
            if name == "autodl":
                found = ours(problem, folder, known.time, known.seed, further)
            else:
                found = peer(name, problem, folder, known.time, known.seed)
        rows.append({"name": name, **found})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))
    sizes = {"train": len(problem.train), "test": len(problem.test)}
    facts = {"table": known.table.name, "target": known.target, "task": problem.kind, "rows": sizes}
    said = {"time": known.time, "seed": known.seed, "cores": len(os.sched_getaffinity(0)), "results": rows}
    text = json.dumps({**facts, **said}, indent=1)
    print(text) if known.output is None else known.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
