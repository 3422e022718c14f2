"""A run's folder: what lies where, and who may write there.

run.json          schema, data, options, task, split, seeds, versions, command; at the end the summary
journal.jsonl     every trial, rung and end, as it happened
data/             the rows as tensors, for the workers
trials/00012/     config.json, weights.safetensors, predictions.safetensors; checkpoint.safetensors while it may go on
logs/             what workers wrote
leaderboard.csv   every trial, best first
predictor/        what `autodl.load` reads
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autodl.errors import RunError

SCHEMA = 2  # 1: before folds were members
_PACKAGES = ("torch-autodl", "torch", "optuna", "numpy", "pandas", "scikit-learn")


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def create(cls, output: str | None, name: str) -> RunFolder:
        """Make a new one.

        Args:
            output: Where; it must not exist or be empty. None makes one in ``autodl-runs`` called after the data.
            name: What to call it there.

        Raises:
            RunError: There is something already, or the place cannot be written.
        """
        if output is not None:
            check_empty(Path(output))
        path = Path(output) if output is not None else _free(Path("autodl-runs"), name)
        try:
            for part in ("data", "trials", "logs"):
                (path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"the run folder {path} must be writable, however: {error.strerror}; name another with --output"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing one, to go on.

        Raises:
            RunError: It is no run folder, or of a newer version.
        """
        if not (path / "run.json").is_file():
            raise RunError(
                f"{path} must be a run folder, however it holds no run.json; name the folder of an earlier search"
            )
        run = cls(path)
        found = run.read().get("schema")
        if not isinstance(found, int) or found > SCHEMA:
            raise RunError(
                f"{path} must be of schema {SCHEMA}, however a newer autodl wrote it (schema {found}); "
                "upgrade with pip install --upgrade torch-autodl"
            )
        if found < SCHEMA:
            raise RunError(
                f"{path} must be of schema {SCHEMA}, however an older autodl wrote it (schema {found}); "
                "start a new run, or go on with the autodl that began it"
            )
        for part in ("data", "trials", "logs"):
            (path / part).mkdir(exist_ok=True)
        return run

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.jsonl"

    @property
    def predictor(self) -> Path:
        """The predictor's folder."""
        return self.path / "predictor"

    def trial(self, number: int) -> Path:
        """One trial's folder."""
        return self.path / "trials" / f"{number:05d}"

    def data(self, key: str) -> Path:
        """One input's tensors."""
        return self.path / "data" / f"{key}.safetensors"

    def read(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            RunError: It is damaged.
        """
        path = self.path / "run.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} must be readable JSON, however: {error}; start a new run") from error
        if not isinstance(content, dict):
            raise RunError(
                f"{path} must hold a JSON object, however it holds a {type(content).__name__}; start a new run"
            )
        return content

    def write(self, **facts: Any) -> None:
        """Add facts to run.json."""
        path = self.path / "run.json"
        known = self.read() if path.exists() else provenance()
        write_text(path, json.dumps({**known, **facts}, indent=2, ensure_ascii=False) + "\n")


def check_empty(path: Path) -> None:
    """Refuse a place for a new run that holds something.

    Raises:
        RunError: There is something already.
    """
    if path.is_dir() and any(path.iterdir()):
        raise RunError(
            f"--output must name a new or empty folder, however {path} is not empty; "
            f"choose another, or go on with that run by --resume {path}"
        )
    if path.exists() and not path.is_dir():
        raise RunError(f"--output must name a folder, however {path} is a file; choose another name")


def provenance() -> dict[str, Any]:
    """With what this was made."""
    return {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": sys.version.split()[0],
        "versions": {package: version(package) for package in _PACKAGES},
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} must be writable, however: {error.strerror}; free some space, then --resume") from error


def _free(parent: Path, name: str) -> Path:
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") or "run"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path, count = parent / f"{stem}-{stamp}", 1
    while path.exists():
        count += 1
        path = parent / f"{stem}-{stamp}-{count}"
    return path
