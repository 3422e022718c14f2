"""The whole search, small: each of these runs trials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from autodl.data.dataset import DataOptions
from autodl.errors import AutoDLError, DataError, RunError, SpaceError, UnknownNameError
from autodl.predictor import load
from autodl.tuning.events import Finished, Started, TrialChanged
from autodl.tuning.options import SearchOptions
from autodl.tuning.search import build_space, resume, search
from autodl.tuning.toml_space import to_toml

FAST = {"training.batch_size": 64}


def options(tmp_path, **changes):
    return SearchOptions(**{"output": str(tmp_path / "run"), "executor": "inline", "trials": 3, **changes})


@pytest.fixture(scope="module")
def small_space(tmp_path_factory):
    """A space whose trials take a moment: linear models only."""
    space, _ = build_space("iris", DataOptions(), SearchOptions(models=("linear",)))
    return to_toml(space, "iris")


@pytest.mark.slow
class TestSearch:
    def test_a_search_ends_with_a_predictor_and_tells_what_it_did(self, tmp_path, small_space):
        heard = []
        folder = search("iris", DataOptions(), options(tmp_path, space=small_space), listener=heard.append)
        assert isinstance(heard[0], Started)
        assert isinstance(heard[-1], Finished)
        assert sum(isinstance(event, TrialChanged) for event in heard) >= 3
        known = json.loads((folder / "run.json").read_text())
        assert known["state"] == "finished"
        assert sum(known["trials"].values()) == 3
        assert known["test"]["accuracy"] > 0.6
        assert len(load(folder).predict("iris")) == 150
        assert (folder / "leaderboard.csv").read_text().count("\n") == 4

    def test_the_same_seed_and_trials_give_the_same_leaderboard(self, tmp_path, small_space):
        boards = []
        for name in ("first", "second"):
            chosen = options(tmp_path, output=str(tmp_path / name), space=small_space, seed=3)
            boards.append((search("iris", DataOptions(), chosen) / "leaderboard.csv").read_bytes())
        assert boards[0] == boards[1]

    def test_time_is_kept(self, tmp_path):
        start = time.time()
        search("iris", DataOptions(), options(tmp_path, trials=None, time=12.0), started=start)
        assert time.time() - start < 16.0

    def test_a_wish_to_stop_keeps_the_best(self, tmp_path, small_space):
        stop = threading.Event()

        def listen(event):
            if isinstance(event, TrialChanged):
                stop.set()

        chosen = options(tmp_path, trials=500, space=small_space)
        folder = search("iris", DataOptions(), chosen, listener=listen, stop=stop)
        assert json.loads((folder / "run.json").read_text())["state"] == "stopped"
        assert load(folder).scores["validation"]

    def test_a_finished_run_takes_more_trials(self, tmp_path, small_space):
        folder = search("iris", DataOptions(), options(tmp_path, space=small_space))
        before = (folder / "journal.jsonl").read_text()
        resume(folder, {"trials": 5})
        assert (folder / "journal.jsonl").read_text().startswith(before)
        assert sum(json.loads((folder / "run.json").read_text())["trials"].values()) == 5

    def test_a_resumed_run_keeps_the_length_of_its_trainings_whatever_time_it_gets(self, tmp_path):
        chosen = options(tmp_path, trials=None, time=8.0, models=("linear",))
        folder = search("digits", DataOptions(), chosen, started=time.time())
        epochs = json.loads((folder / "run.json").read_text())["epochs"]
        resume(folder, {"time": 12.0}, started=time.time())
        lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        assert {line["config"]["epochs"] for line in lines if line["event"] == "trial"} == {epochs}

    def test_a_run_on_other_data_is_not_resumed(self, tmp_path, iris, small_space):
        path = tmp_path / "table.csv"
        iris.to_csv(path, index=False)
        folder = search(path, DataOptions(target="species"), options(tmp_path, trials=1, models=("linear",)))
        iris.iloc[:-1].to_csv(path, index=False)
        with pytest.raises(RunError, match="has changed since"):
            resume(folder, {})

    def test_every_trial_failing_ends_with_the_reasons(self, tmp_path, monkeypatch, small_space):
        def broken(*args, **kwargs):
            raise ValueError("broken on purpose")

        monkeypatch.setattr("autodl.tuning.executors._work.Training", broken)
        with pytest.raises(RunError, match="all 3 failed: 3 × ValueError: broken on purpose"):
            search("iris", DataOptions(), options(tmp_path, space=small_space))


class TestBadInput:
    """Nothing half-written is left behind."""

    @pytest.fixture(autouse=True)
    def _empty_after(self, tmp_path):
        yield
        assert not (tmp_path / "run").exists()

    def test_an_unknown_model(self, tmp_path):
        with pytest.raises(UnknownNameError, match="did you mean 'mlp'"):
            search("iris", DataOptions(), options(tmp_path, models=("mpl",)))

    def test_a_target_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="species"):
            search("iris", DataOptions(target="specie"), options(tmp_path))

    def test_a_metric_that_does_not_fit(self, tmp_path):
        with pytest.raises(AutoDLError, match="rmse"):
            search("iris", DataOptions(), options(tmp_path, metric="rmse"))

    def test_a_space_with_a_wrong_name(self, tmp_path):
        with pytest.raises(SpaceError, match="batch_size"):
            search("iris", DataOptions(), options(tmp_path, space="[training]\nbatchsize = 64\n"))

    @pytest.mark.parametrize("change", [{"time": 0.1}, {"trials": 0}, {"jobs": 0}])
    def test_a_budget_that_cannot_be(self, tmp_path, change):
        with pytest.raises(AutoDLError, match="must be at least"):
            search("iris", DataOptions(), options(tmp_path, **change))

    def test_a_device_that_is_not_here(self, tmp_path):
        with pytest.raises(RunError, match="--device"):
            search("iris", DataOptions(), options(tmp_path, device="quantum"))


SCRIPT = """
import sys
from autodl.data.dataset import DataOptions
from autodl.tuning.options import SearchOptions
from autodl.tuning.search import search
search("breast_cancer", DataOptions(), SearchOptions(trials=24, jobs=2, output=sys.argv[1]))
"""


@pytest.mark.slow
def test_a_driver_killed_in_the_middle_loses_no_finished_trial(tmp_path):
    """kill -9 of the driver, then --resume: what the journal held stays to the letter, and the search is completed."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
    journal = folder / "journal.jsonl"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (journal.exists() and journal.read_text().count('"heard"') >= 8):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = journal.read_text()
    assert before.count('"heard"') >= 8
    with journal.open("a") as file:
        file.write('{"event": "heard", "number": 3, "sco')  # as if it had died while writing
    resume(folder, {"executor": "inline"})
    assert journal.read_text().startswith(before)
    known = json.loads((folder / "run.json").read_text())
    assert sum(known["trials"].values()) == 24
    assert known["state"] == "finished"
