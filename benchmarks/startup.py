"""``autodl --help``, and the time from Enter to the first finished trial of ``autodl search breast_cancer``.

python benchmarks/startup.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds_of_help() -> float:
    start = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("autodl")), "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def seconds_to_first_trial() -> float:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run" / "journal.jsonl"
        command = [sys.executable, "-m", "autodl", "search", "breast_cancer", "--time", "15s", "--quiet"]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "--output", f"{folder}/run"], stdout=subprocess.DEVNULL)
        while not (journal.exists() and '"state": "complete"' in journal.read_text(encoding="utf-8")):
            if process.poll() is not None:
                sys.exit("the search ended before a trial was finished")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.wait()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for what, measure in (("autodl --help", seconds_of_help), ("first finished trial", seconds_to_first_trial)):
        measure()
        found = sorted(measure() for _ in range(repeats))
        print(json.dumps({"what": what, "median_s": round(statistics.median(found), 3), "max_s": round(found[-1], 3)}))


if __name__ == "__main__":
    main()
