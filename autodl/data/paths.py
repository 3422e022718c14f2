"""Paths in cells: relative to a root, and never outside it.

Paths are kept as strings here: a table may hold a hundred thousand, and pathlib has no ``normpath``.
"""

# ruff: noqa: PTH100, PTH111, PTH112, PTH114, PTH118

from __future__ import annotations

import os
from pathlib import Path

from autodl.data.table import shown
from autodl.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
AUDIO_SUFFIXES = frozenset({".aif", ".aiff", ".au", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"})


class Root:
    """A folder that paths in cells start at and must stay in.

    Raises:
        DataError: The folder does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(self.folder):
            raise DataError(f"the root must be a folder, however '{self.folder}' is none; check --root")
        self._real = os.path.realpath(self.folder)
        self._real_folders: dict[str, str] = {}

    def resolve(self, cell: str, column: str) -> str | None:
        """Return the absolute path, or None where a symlink leads out of the root; the file need not exist.

        Raises:
            DataError: The path as it is written leads out of the root.
        """
        if "\0" in cell:
            return None
        path = os.path.normpath(os.path.join(self.folder, cell))
        if not (_within(path, self.folder) or _within(path, self._real)):
            raise DataError(
                f"paths in column '{column}' must stay inside '{self.folder}', however '{shown(cell, 80)}' "
                "leads out of it; name another folder with --root, or mend the path"
            )
        return path if _within(self._real_path(path), self._real) else None

    def _real_path(self, path: str) -> str:
        """As ``os.path.realpath``, but asking the disk only once for each folder."""
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
