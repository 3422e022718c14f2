"""The whole search, small: each of these runs trials."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from autodl.data.dataset import DataOptions
from autodl.errors import AutoDLError, DataError, RunError, SpaceError, UnknownNameError
from autodl.metrics import get_metric
from autodl.predictor import load
from autodl.tuning import search as module
from autodl.tuning.events import Finished, Started, TrialChanged
from autodl.tuning.options import SearchOptions
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.search import build_space, resume, search
from autodl.tuning.tensors import TARGETS, read_goals
from autodl.tuning.toml_space import to_toml

BASELINES = ("dummy", "linear_model")


def options(tmp_path, **changes):
    """A tiny search in this process, of three folds."""
    usual = {"output": str(tmp_path / "run"), "executor": "inline", "trials": 3, "folds": 3}
    return SearchOptions(**{**usual, **changes})


def told(folder):
    return json.loads((folder / "run.json").read_text())


def board_of(folder):
    return pd.read_csv(folder / "leaderboard.csv")


@pytest.fixture(scope="module")
def small_space():
    """Options of a search whose trials take a moment: linear networks only."""
    space, _ = build_space("iris", DataOptions(), SearchOptions(models=("linear",)))
    return {"space": to_toml(space, "iris"), "models": ("linear",)}


@pytest.fixture
def quick_baselines(monkeypatch):
    """Boosted trees take longer than all the rest."""
    real = module.baselines
    monkeypatch.setattr(module, "baselines", lambda *facts: [name for name in real(*facts) if name in BASELINES])


@pytest.mark.slow
@pytest.mark.usefixtures("quick_baselines")
class TestSearch:
    def test_a_search_ends_with_a_predictor_and_tells_what_it_did(self, tmp_path, small_space):
        heard = []
        folder = search("iris", DataOptions(), options(tmp_path, **small_space), listener=heard.append)
        assert isinstance(heard[0], Started)
        assert isinstance(heard[-1], Finished)
        assert sum(isinstance(event, TrialChanged) for event in heard) >= 3
        known = told(folder)
        board = board_of(folder)
        assert known["state"] == "finished"
        assert sum(known["trials"].values()) == 3 + len(known["baselines"]) == len(board)
        assert set(known["baselines"]) == set(board["model"][board["source"] == "baseline"])
        assert set(known["baselines"]) == set(BASELINES)
        assert known["test"]["accuracy"] > 0.6
        assert len(load(folder).predict("iris")) == 150

    def test_the_same_seed_and_trials_give_the_same_leaderboard(self, tmp_path, small_space):
        boards = []
        for name in ("first", "second"):
            chosen = options(tmp_path, output=str(tmp_path / name), **small_space, seed=3)
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

        chosen = options(tmp_path, trials=500, **small_space)
        folder = search("iris", DataOptions(), chosen, listener=listen, stop=stop)
        assert json.loads((folder / "run.json").read_text())["state"] == "stopped"
        assert load(folder).scores["validation"]

    def test_a_finished_run_takes_more_trials(self, tmp_path, small_space):
        folder = search("iris", DataOptions(), options(tmp_path, **small_space))
        before, first = (folder / "journal.jsonl").read_text(), told(folder)
        resume(folder, {"trials": 5})
        assert (folder / "journal.jsonl").read_text().startswith(before)
        known = told(folder)
        assert sum(known["trials"].values()) == 5 + len(known["baselines"])
        assert known["baselines"] == first["baselines"]  # none is fitted again
        assert known["folds"] == first["folds"] == [3, 1]

    def test_a_resumed_run_keeps_the_length_of_its_trainings_whatever_time_it_gets(self, tmp_path):
        chosen = options(tmp_path, trials=None, time=8.0, models=("linear",))
        folder = search("digits", DataOptions(), chosen, started=time.time())
        epochs = json.loads((folder / "run.json").read_text())["epochs"]
        resume(folder, {"time": 12.0}, started=time.time())
        lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        lines = [line for line in lines if line["event"] == "trial"]
        assert {line["config"]["epochs"] for line in lines if line["pack"] >= 0} == {epochs}

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
            search("iris", DataOptions(), options(tmp_path, **small_space))

    def test_a_small_table_is_cross_validated_by_default(self, tmp_path, small_space):
        """Each row but the test's is judged by networks that were not fitted on it, and all of these predict."""
        chosen = options(tmp_path, **small_space, folds=None, trials=1)
        folder = search("iris", DataOptions(), chosen)
        known = told(folder)
        assert known["folds"] == [8, 2]
        assert known["rows"]["train"] == known["rows"]["validation"] == 120
        goals = read_goals(folder / "data" / f"{TARGETS}.safetensors")
        assert len(goals.folds) == 16
        np.testing.assert_array_equal(goals.judged, np.arange(120))
        best = board_of(folder).query("source != 'baseline'").iloc[0]
        saved = load_file(RunFolder(folder).trial(best["number"]) / "predictions.safetensors")["predictions"]
        assert len(saved) == 120
        metric = get_metric(goals.task.metric, goals.task)
        assert best["score"] == pytest.approx(metric.function(goals.judged_targets, saved.double().numpy()))
        assert len(load(folder).networks) == 16 * sum(
            member.config.estimator is None for member in load(folder).members
        )

    def test_a_single_one_is_one_network(self, tmp_path, small_space):
        folder = search("iris", DataOptions(), options(tmp_path, **small_space, single=True))
        predictor = load(folder)
        assert len(predictor.members) == len(predictor.networks) == 1
        networks = board_of(folder).query("source != 'baseline'")
        assert predictor.members[0].number == networks.iloc[0]["number"]
        assert predictor.members[0].folds == 1
        assert predictor.evaluate("iris")["accuracy"] > 0.6

    def test_refitted_all_members_are_one_network_each(self, tmp_path, small_space):
        predictor = load(search("iris", DataOptions(), options(tmp_path, **small_space, refit=True)))
        assert len(predictor.networks) == len(predictor.members) >= 1
        assert {member.folds for member in predictor.members} == {1}

    def test_with_few_parameters_wanted_the_front_is_told_and_one_trial_predicts(self, tmp_path):
        chosen = options(tmp_path, trials=4, models=("linear", "mlp"), minimize="parameters")
        folder = search("iris", DataOptions(), chosen)
        board = board_of(folder)
        networks = board[board["source"] != "baseline"]
        assert (networks["cost"] == networks["parameters"]).all()
        assert board[board["source"] == "baseline"]["cost"].isna().all()
        assert networks["front"].any()
        for row in networks.itertuples():
            beaten = (networks["score"] <= row.score) & (networks["cost"] <= row.cost)
            beaten &= (networks["score"] < row.score) | (networks["cost"] < row.cost)
            assert row.front == (not beaten.any())
        (member,) = load(folder).members
        assert bool(board.set_index("number").loc[member.number, "front"])

    def test_a_cost_of_the_callers_own_is_made_small_and_asked_for_again(self, tmp_path, small_space):
        def cost(record):
            return math.inf if record.source == "baseline" else float(record.number)

        folder = search("iris", DataOptions(), options(tmp_path, **small_space), cost=cost)
        board = board_of(folder)
        known = board[board["source"] != "baseline"]
        assert (known["cost"] == known["number"]).all()
        assert board[board["source"] == "baseline"]["cost"].isna().all()  # what is not finite is no cost
        with pytest.raises(RunError, match="give it to resume as cost="):
            resume(folder, {"trials": 4})
        resume(folder, {"trials": 4}, cost=cost)

    def test_estimators_alone_need_no_network(self, tmp_path):
        heard = []
        chosen = options(tmp_path, trials=3, models=("extra_trees", "k_neighbors"))
        folder = search("iris", DataOptions(), chosen, listener=heard.append)
        board = board_of(folder)
        assert set(board["model"][board["source"] != "baseline"]) == {"extra_trees", "k_neighbors"}
        predictor = load(folder)
        assert predictor.networks == []
        assert {member.config.estimator.name for member in predictor.members} <= {"extra_trees", "k_neighbors"}
        assert predictor.evaluate("iris")["accuracy"] > 0.9
        resume(folder, {"trials": 4})
        assert told(folder)["trials"]["complete"] == len(board) + 1

    def test_networks_and_estimators_race_and_the_same_seed_decides_the_same(self, tmp_path):
        boards = []
        for name in ("first", "second"):
            chosen = options(tmp_path, output=str(tmp_path / name), trials=5, models=("linear", "extra_trees"), seed=1)
            boards.append((search("iris", DataOptions(), chosen) / "leaderboard.csv").read_bytes())
        assert boards[0] == boards[1]
        board = board_of(tmp_path / "first")
        assert set(board["model"][board["source"] != "baseline"]) == {"linear", "extra_trees"}

    def test_weights_of_rows_reach_networks_estimators_and_run(self, tmp_path, iris, small_space):
        """Where a class counts next to nothing, it is hardly ever said."""
        frame = iris.assign(w=np.where(iris["species"] == "versicolor", 1e-6, 1.0))
        data = DataOptions(target="species", sample_weight="w")
        folder = search(frame, data, options(tmp_path, **small_space, folds=1))
        assert "w" not in load(folder).columns
        goals = read_goals(folder / "data" / f"{TARGETS}.safetensors")
        assert goals.weights[goals.targets == 1].max() < 1e-4 * goals.weights[goals.targets != 1].min()
        board = board_of(folder)
        longest = board[board["model"] == "linear"].sort_values("epochs").iloc[-1]
        for number, most in ((longest["number"], 0.25), (board[board["model"] == "dummy"].iloc[0]["number"], 1e-4)):
            said = load_file(RunFolder(folder).trial(number) / "predictions.safetensors")["predictions"]
            assert said[:, 1].mean() < most


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

    def test_more_folds_than_rows(self, tmp_path, iris):
        few = iris.iloc[::10]
        with pytest.raises(DataError, match="--folds must be at most"):
            search(few, DataOptions(target="species"), options(tmp_path, folds=20))

    def test_something_that_cannot_be_made_small(self, tmp_path):
        with pytest.raises(AutoDLError, match="--minimize must be one of"):
            search("iris", DataOptions(), options(tmp_path, minimize="beauty"))

    def test_a_device_that_is_not_here(self, tmp_path):
        with pytest.raises(RunError, match="--device"):
            search("iris", DataOptions(), options(tmp_path, device="quantum"))


SCRIPT = """
import sys
from autodl.data.dataset import DataOptions
from autodl.tuning.options import SearchOptions
from autodl.tuning.search import search
search("breast_cancer", DataOptions(), SearchOptions(trials=24, jobs=2, folds=2, output=sys.argv[1]))
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
    assert sum(known["trials"].values()) == 24 + len(known["baselines"])
    assert len(known["baselines"]) == len(set(known["baselines"])) >= 2
    assert known["state"] == "finished"
