"""The journal: one JSON line for everything that must survive; a torn last line is cut off when it is opened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from autodl.errors import RunError


class Journal:
    """Appends to a file of JSON lines.

    A line counts once its newline is written, so that a process that dies while writing costs that line alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cut_torn_line()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line; it is in the operating system's hands when this returns."""
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise RunError(
                f"the journal {self.path} must be writable, however: {error.strerror}; free some space, then --resume"
            ) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines.

    Raises:
        RunError: A line in the middle is damaged.
    """
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            raise RunError(
                f"every line of {path} must be JSON, however line {number} is damaged: {error}; "
                "cut the file before that line to resume from there"
            ) from error
    return entries
