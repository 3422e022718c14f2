"""A stranger's package: built, installed, found, asked what every encoder is asked, searched with, predicted with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which Python finds the installed plugin; nothing is fetched, nothing stays behind."""
    place = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation"]
    command = [*pip, "--target", str(place), str(root / "examples" / "third_party_plugin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plain = {name: value for name, value in os.environ.items() if name not in ("AUTODL_PLUGINS", "PYTEST_ADDOPTS")}
    return {**plain, "PYTHONPATH": str(place)}


def autodl(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "autodl", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_it_is_listed_with_who_ships_it_and_what_it_is(environment: dict[str, str]) -> None:
    (found,) = [
        component
        for component in json.loads(autodl(environment, "components", "encoders", "--json"))["components"]
        if component["name"] == "swiglu"
    ]
    assert found["distribution"] == "autodl-swiglu"
    assert found["about"] == "Hidden layers that a second linear map opens and closes (SwiGLU)."


def test_a_user_can_keep_it_out(environment: dict[str, str], tmp_path: Path) -> None:
    without = {**environment, "AUTODL_PLUGINS": ""}
    assert "swiglu" not in autodl(without, "components")
    said = autodl(without, "search", "iris", "--models", "swiglu", "--output", str(tmp_path / "run"), code=2)
    assert "no model is called 'swiglu'" in said


def test_it_passes_the_suite_that_it_ships(environment: dict[str, str], root: Path) -> None:
    folder = root / "examples" / "third_party_plugin"
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    command = [*pytest_command, "-c", str(folder / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search with the plugin alone, by workers, which import it themselves."""
    folder = str(tmp_path_factory.mktemp("search") / "run")
    autodl(environment, "search", "iris", "--models", "swiglu", "--trials", "4", "--output", folder, "--quiet")
    return folder


def test_it_is_searched_with_and_predicts(environment: dict[str, str], run: str) -> None:
    board = json.loads(autodl(environment, "leaderboard", run, "--json"))
    assert {trial["model"] for trial in board["trials"] if trial["source"] != "baseline"} == {"swiglu"}
    assert json.loads(autodl(environment, "evaluate", run, "iris", "--json"))["scores"]["accuracy"] > 0.85


def test_a_predictor_says_which_plugin_it_misses(environment: dict[str, str], run: str) -> None:
    assert "swiglu" in autodl({**environment, "PYTHONPATH": ""}, "predict", run, "iris", code=2)
