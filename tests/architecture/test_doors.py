"""Plugins come in by one door, ours included: the engine stands without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIST = """
import json
from autodl import registry
print(json.dumps({room: names.names() for room, names in registry.ROOMS.items()}))
"""
SEARCH = """
import sys
import autodl
predictor = autodl.search("iris", trials=2, output=sys.argv[1])
assert len(predictor.predict("iris")) == 150
"""


def names(**environment: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LIST], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_without_plugins_the_engines_own_rooms_are_full_and_the_others_empty() -> None:
    everything, engine = names(), names(AUTODL_PLUGINS="")
    for room in ("modalities", "encoders", "losses", "optimizers", "estimators"):
        assert engine[room] == everything[room] != []
    assert engine["fusions"] == engine["explainers"] == []
    assert "concat" in everything["fusions"]


def test_plugins_can_be_let_in_one_by_one() -> None:
    everything = names()
    assert names(AUTODL_PLUGINS="autodl_fusions, autodl_explainers") == everything
    assert names(AUTODL_PLUGINS="autodl_fusions") == {**everything, "explainers": []}
    assert names(AUTODL_PLUGINS="somebody_elses")["fusions"] == []


@pytest.mark.slow
def test_without_plugins_a_search_and_a_prediction_work(tmp_path: Path) -> None:
    environment = {**os.environ, "AUTODL_PLUGINS": ""}
    command = [sys.executable, "-c", SEARCH, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
