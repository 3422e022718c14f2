"""The source tree as the architecture tests see it: path → text, path → syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = ("autodl", "plugins")
PYTHON = (*SOURCES, "benchmarks", "examples", "tests")


@pytest.fixture(scope="session")
def modules(root: Path) -> dict[str, ast.Module]:
    """The syntax tree of each source file, by its path from the top."""
    return {path: _parse(root / path) for path in _python_files(root, SOURCES)}


@pytest.fixture(scope="session")
def python_files(root: Path) -> dict[str, ast.Module]:
    """The syntax tree of each Python file of the project, tests included."""
    return {path: _parse(root / path) for path in _python_files(root, PYTHON)}


def _python_files(root: Path, folders: tuple[str, ...]) -> list[str]:
    return [path.relative_to(root).as_posix() for folder in folders for path in sorted((root / folder).rglob("*.py"))]


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
