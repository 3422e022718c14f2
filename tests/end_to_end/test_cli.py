"""The commands as a user types them: real processes, real data, real exit codes."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

pytestmark = pytest.mark.slow
LIMIT = 240  # seconds; far beyond what an idle machine takes


def autodl(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autodl", *line.split()]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def searched(folder: Path) -> str:
    """What the first search of a user prints."""
    line = "search iris --trials 4 --time 2m --seed 1 --folds 3 --models linear,mlp --output run"
    done = autodl(folder, line)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_search_says_what_it_understood_and_how_good_it_is(searched: str) -> None:
    labels = (
        "data ",
        "task ",
        "columns ",
        "split ",
        "search ",
        "score ",
        "baselines ",
        "intervals ",
        "trials ",
        "run ",
    )
    for label in (*labels, "next "):
        assert any(line.startswith(label) for line in searched.splitlines()), label
    assert "predict 'species' (setosa, versicolor, virginica)" in searched
    assert "autodl predict run iris -o predictions.csv" in searched
    assert "3 folds of 40 rows, 30 test rows" in " ".join(searched.split())
    assert "\x1b" not in searched


@pytest.mark.usefixtures("searched")
def test_the_next_commands_that_it_names_work(folder: Path) -> None:
    predicted = autodl(folder, "predict run iris -o predictions.csv --probabilities")
    assert predicted.returncode == 0, predicted.stderr
    rows = table((folder / "predictions.csv").read_text(encoding="utf-8"))
    assert len(rows) == 150
    for row in rows:
        shares = {name.removeprefix("probability_"): float(value) for name, value in row.items() if name != "species"}
        assert sum(shares.values()) == pytest.approx(1.0)
        assert max(shares, key=lambda name: shares[name]) == row["species"]

    scores = json.loads(autodl(folder, "evaluate run iris --json").stdout)["scores"]
    data = load_iris()
    hits = [data.target_names[at] == row["species"] for at, row in zip(data.target, rows, strict=True)]
    assert scores["accuracy"] == pytest.approx(sum(hits) / 150)
    board = json.loads(autodl(folder, "leaderboard run --json").stdout)
    assert 1 <= sum(trial["source"] != "baseline" for trial in board["trials"]) <= 4
    assert "dummy" in {trial["model"] for trial in board["trials"]}


@pytest.mark.usefixtures("searched")
def test_a_run_goes_on_with_more_trials_and_tells_it_as_json(folder: Path) -> None:
    before = json.loads(autodl(folder, "leaderboard run --json").stdout)["trials"]
    done = autodl(folder, "search --resume run --trials 5 --time 30s --json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["run"] == str(folder / "run")
    assert sum(found["trials"].values()) >= len(before)
    assert 0 <= found["test"]["accuracy"] <= 1


def test_an_edited_space_is_taken_back(folder: Path) -> None:
    printed = autodl(folder, "space iris --models linear")
    assert printed.returncode == 0, printed.stderr
    (folder / "space.toml").write_text(printed.stdout, encoding="utf-8")
    wrong = printed.stdout.replace("[optimizer]", "[optimiser]")
    (folder / "wrong.toml").write_text(wrong, encoding="utf-8")
    refused = autodl(folder, "search iris --models linear --space wrong.toml --output none")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "optimizer" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def start(folder: Path, run: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A long search in its own session, that has just found its first score."""
    command = [sys.executable, "-m", "autodl", "search", "iris", "--time", "10m", "--models", "linear", "--output", run]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "best " in line:
            break
    return process, lines


def test_one_interrupt_keeps_the_best(folder: Path) -> None:
    process, _ = start(folder, "stopped")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert err.startswith("stopping well")
    assert "stopped early" in out
    assert time.monotonic() - began < 60
    assert autodl(folder, "evaluate stopped iris").returncode == 0


def test_two_interrupts_end_it_at_once_and_it_goes_on_later(folder: Path) -> None:
    process, _ = start(folder, "broken")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("stopping well")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    if process.returncode == 0:
        pytest.skip("it had ended well before the second one came")
    assert process.returncode == 130
    assert err == "autodl: stopped at once by Ctrl-C; go on with: autodl search --resume broken\n"
    done = autodl(folder, "search --resume broken --time 10s --quiet")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("line", ["search no_such.csv -t y", "search iris --target specie", "search iris --metric auk"])
def test_bad_input_is_one_line_and_leaves_nothing(line: str, tmp_path: Path) -> None:
    done = autodl(tmp_path, line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("autodl: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


OWN = """
from torch import nn

import autodl


@autodl.encoder(width=autodl.Integer(4, 8), dropout=autodl.Float(0.0, 0.5, per_member=True))
class Mine(nn.Module):
    def __init__(self, shape, width, dropout):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x):
        return self.layers(x)
"""
SEARCH = """
predictor = autodl.search("iris", trials=2, time=120, models="mine", output="{run}", jobs=1)
board = predictor.leaderboard.frame()
assert (board.model[board.source != "baseline"] == "mine").all()
assert list(predictor.predict("iris")) == list(autodl.load("{run}").predict("iris"))
"""


def test_an_own_module_of_a_script_is_searched_in_this_process(folder: Path) -> None:
    (folder / "script.py").write_text(OWN + SEARCH.format(run="own"), encoding="utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert "not importable" in " ".join(done.stdout.split())
    refused = autodl(folder, "evaluate own iris")
    assert refused.returncode == 2
    assert "register the class first" in refused.stderr


def test_an_own_module_of_a_module_is_searched_in_workers_and_loaded_anywhere(folder: Path) -> None:
    (folder / "nets.py").write_text(OWN, encoding="utf-8")
    script = "import autodl\nimport nets\n" + SEARCH.format(run="imported")
    (folder / "other.py").write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, "other.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert "not importable" not in " ".join(done.stdout.split())
    refused = autodl(folder, "evaluate imported iris")
    assert refused.returncode == 2
    assert "import nets first, if you trust it" in refused.stderr
    assert autodl(folder, "evaluate imported iris --import nets").returncode == 0
