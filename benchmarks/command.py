"""The whole command, as a user types it: wall time, trials finished, test scores; several seeds, medians last.

    python benchmarks/command.py breast_cancer --time 1m --seeds 0 1 2
    python benchmarks/command.py churn.csv.gz --target churn --time 2m
    python benchmarks/command.py fashion/train --test fashion/test --time 10m --seeds 0

What is not known here is handed on to ``autodl search``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time


def once(arguments: list[str], seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "autodl", "search", *arguments, "--seed", str(seed), "--json"]
        start = time.perf_counter()
        done = subprocess.run([*command, "--output", f"{folder}/run"], capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stderr)
        summary = json.loads(done.stdout)
    kept = {name: summary[name] for name in ("trials", "best", "validation", "test")}
    return {"seed": seed, "wall_s": round(wall, 2), **kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    known, arguments = parser.parse_known_args()
    found = []
    for seed in known.seeds:
        found.append(once(arguments, seed))
        print(json.dumps(found[-1]), flush=True)
    metrics = {name: [run["test"][name] for run in found] for name in found[0]["test"]}  # type: ignore[index, attr-defined]
    median = {name: round(statistics.median(values), 4) for name, values in metrics.items()}
    print(json.dumps({"median test": median, "wall_s max": max(run["wall_s"] for run in found)}))  # type: ignore[type-var]


if __name__ == "__main__":
    main()
