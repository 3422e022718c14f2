"""What is installed is what is tested: pins, entry points, files of the source distribution."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

NOT_FOR_US = re.compile(
    r"nvidia-|triton|cuda-"
)  # what torch brings along on a machine with a GPU, at versions of its own


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def plain(name: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(project: dict[str, Any]) -> list[Requirement]:
    extras = project["project"]["optional-dependencies"].values()
    lines = [*project["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in [*lines, *project["build-system"]["requires"]]]


def everything_needed(project: dict[str, Any]) -> set[str]:
    """The direct dependencies and, as far as they are installed, all that they ask for."""
    found: set[str] = set()
    waiting = [(plain(requirement.name), "") for requirement in direct(project)]
    while waiting:
        name, _ = waiting.pop()
        if name in found or NOT_FOR_US.match(name):
            continue
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needed = [Requirement(line) for line in lines]
        waiting += [(plain(r.name), name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def test_every_dependency_direct_or_not_is_pinned_and_nothing_else(
    project: dict[str, Any], pins: dict[str, str]
) -> None:
    assert everything_needed(project) == set(pins)


def test_the_pins_satisfy_what_the_project_asks_for(project: dict[str, Any], pins: dict[str, str]) -> None:
    wrong = [str(r) for r in direct(project) if Version(pins[plain(r.name)]) not in r.specifier]
    assert wrong == []


def test_what_is_tested_here_is_what_is_pinned(pins: dict[str, str]) -> None:
    other = {}
    for name, version in pins.items():
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
        if installed != version:
            other[name] = installed
    assert other == {}


def test_every_dependency_but_the_two_that_all_need_says_who_needs_it(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("dependencies = [", 1)[1].split("\n]", 1)[0]
    assert [
        line
        for line in block.splitlines()
        if line.strip() and "#" not in line and not line.strip().startswith(('"numpy', '"torch'))
    ] == []


def test_entry_points_name_rooms_that_are_there(project: dict[str, Any], root: Path) -> None:
    for group, points in project["project"]["entry-points"].items():
        for room in points.values():
            assert group.startswith("autodl.")
            folders = [root / parent / room.replace(".", "/") for parent in ("", "plugins")]
            assert any((folder / "__init__.py").is_file() for folder in folders), room


def test_typed_packages_say_so(root: Path) -> None:
    for package in ("autodl", "plugins/autodl_fusions", "plugins/autodl_explainers"):
        assert (root / package / "py.typed").is_file()
