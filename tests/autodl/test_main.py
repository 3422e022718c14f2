from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from autodl import __main__ as entry


def test_the_clock_starts_with_the_process() -> None:
    code = "import time; time.sleep(0.3); from autodl.__main__ import process_start; print(process_start())"
    before = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if not Path("/proc/self/stat").exists():
        pytest.skip("only Linux tells when a process began")
    assert abs(float(done.stdout) - before) < 0.25


def test_a_process_that_was_something_else_before_counts_from_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sleeps and then turns into autodl began long before the user's command did."""
    monkeypatch.setattr(entry, "_OLDEST", 0.0)
    assert entry.process_start() == entry._IMPORTED


def test_without_a_proc_file_system_the_import_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert entry.process_start() == entry._IMPORTED


@pytest.mark.parametrize("command", [[sys.executable, "-m", "autodl"], [str(Path(sys.executable).with_name("autodl"))]])
def test_both_ways_in_are_the_same(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("autodl ")
    refused = subprocess.run([*command, "serach"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1


def test_main_hands_arguments_start_and_code_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def run(arguments: list[str], started: float) -> int:
        heard.append((arguments, started))
        return 7

    monkeypatch.setattr("autodl.cli.main", run)
    monkeypatch.setattr(sys, "argv", ["autodl", "components", "--json"])
    assert entry.main() == 7
    ((arguments, started),) = heard
    assert arguments == ["components", "--json"]
    assert started <= time.time()


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m autodl components | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
