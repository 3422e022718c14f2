"""Asked against used wall time of the whole command, over 20 pairs of budget and data; fails where one goes over.

    python benchmarks/budget.py                       20 pairs, some twelve minutes
    python benchmarks/budget.py --quick               two pairs
    python benchmarks/budget.py --budgets 15 45 --tables rows_2000 columns_2000 --output budget.json

Used is what a user waits: from starting the command to its end, interpreter and reading included. Over by more than
2 % and by more than a second is over: then the exit status is 1. Options not known here go to ``autodl search``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.datasets import make_classification

SHAPES = {
    "rows_200": (200, 10),
    "rows_2000": (2_000, 20),
    "rows_20000": (20_000, 30),
    "rows_200000": (200_000, 20),
    "columns_2000": (1_000, 2_000),
}
IMAGES = "digits"  # built in: 1,797 images of 8 × 8
TABLES = (*SHAPES, IMAGES)
PAIRS = (*product((15, 30, 60), TABLES), (20, "rows_20000"), (45, "rows_200000"))
QUICK = ((15, "rows_2000"), (20, IMAGES))


def write(name: str, folder: Path) -> list[str]:
    """Write one table; what ``autodl search`` is given."""
    if name == IMAGES:
        return [name]
    path = folder / f"{name}.csv"
    if not path.exists():
        rows, columns = SHAPES[name]
        x, y = make_classification(rows, columns, n_informative=min(columns, 10) // 2 + 2, random_state=0)
        header = ",".join([*(f"x{index}" for index in range(columns)), "y"])
        np.savetxt(path, np.column_stack([x, y]), "%.6g", ",", header=header, comments="")
    return [str(path), "--target", "y"]


def measure(source: list[str], asked: float, further: list[str]) -> dict[str, Any]:
    """Run the command once."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "autodl", "search", *source, "--time", f"{asked}s", "--json", *further]
        started = time.perf_counter()
        done = subprocess.run([*command, "--output", f"{folder}/run"], capture_output=True, text=True, check=False)
        used = time.perf_counter() - started
    failed = {"reason": (done.stderr.strip().splitlines() or ["?"])[-1][:200]} if done.returncode else {}
    over = used - asked
    kept = not failed and over <= max(1.0, 0.02 * asked)
    return {"asked": asked, "used": used, "over": over, "share": over / asked, "kept": kept, **failed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two pairs")
    parser.add_argument("--budgets", type=float, nargs="+", help="seconds; with each table")
    parser.add_argument("--tables", nargs="+", choices=TABLES, help="with each budget")
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    known, further = parser.parse_known_args()
    pairs = list(QUICK if known.quick else PAIRS)
    if known.budgets or known.tables:
        pairs = list(product(known.budgets or (15, 30, 60), known.tables or TABLES))
    found = []
    print(f"{'data':<16}{'asked s':>9}{'used s':>9}{'over s':>9}{'over %':>9}")
    with TemporaryDirectory() as folder:
        for asked, name in pairs:
            run = measure(write(name, Path(folder)), asked, further)
            found.append({"data": name, **run})
            numbers = f"{asked:>9g}{run['used']:>9.2f}{run['over']:>9.2f}{100 * run['share']:>9.1f}"
            print(f"{name:<16}{numbers}  {'' if run['kept'] else run.get('reason', 'OVER')}", flush=True)
    if known.output is not None:
        known.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{sum(run['kept'] for run in found)} of {len(found)} within 2 % or 1 s")
    sys.exit(0 if all(run["kept"] for run in found) else 1)


if __name__ == "__main__":
    main()
