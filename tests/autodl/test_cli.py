from __future__ import annotations

import errno
import json
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import autodl
from autodl import cli
from autodl.errors import DataError, RunError
from autodl.leaderboard import Leaderboard
from autodl.records import Task

if TYPE_CHECKING:
    from conftest import Story


class FakePredictor:
    """What the commands ask of a predictor."""

    task = Task("species", "multiclass", ("a", "b"), "accuracy")

    def __init__(self, story: Story) -> None:
        for _ in story:
            pass
        self.leaderboard = Leaderboard(story.records, "roc_auc", True, {0: 1.0})

    def predict(self, data: Any, root: Any = None) -> pd.Series:
        return pd.Series(["a", "=b"], name="species")

    def predict_proba(self, data: Any, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame([[0.75, 0.25], [0.5, 0.5]], columns=["a", "b"])

    def predict_interval(self, data: Any, coverage: float, root: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"species": ["a", "=b"], "species set": ["a|=b", "=b"]})

    def evaluate(self, data: Any, root: Any = None) -> dict[str, float]:
        return {"accuracy": 0.75, "log_loss": float("nan")}


@pytest.fixture
def predictor(story: Story, monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    made = FakePredictor(story)
    monkeypatch.setattr(autodl, "load", lambda run, device="auto": made)
    return made


@pytest.fixture(autouse=True)
def _nobody_else_listens() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def raises(error: BaseException) -> Any:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    return fail


def run(*arguments: str) -> int:
    return cli.main(arguments, started=5.0)


def test_a_search_gets_what_was_said(fake_search: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    line = "churn.csv --target y --time 2m --trials 9 --column zip=category --ignore id --models mlp --seed 3 --quiet"
    assert run("search", *line.split()) == 0
    (source, data, options), named = fake_search["search"]
    assert source == "churn.csv"
    assert (data.target, data.columns, data.ignore, data.seed) == (("y",), {"zip": "category"}, ("id",), 3)
    assert (options.time, options.trials, options.models, options.seed) == (120.0, 9, ("mlp",), 3)
    assert named["started"] == 5.0
    assert not named["stop"].is_set()
    assert capsys.readouterr().out.splitlines()[0] == "roc_auc: test 0.8987, validation 0.9123"


def test_several_targets_and_what_is_kept_are_handed_on(fake_search: dict[str, Any]) -> None:
    line = "t.csv --target a --target b --sample-weight w --folds 5 --refit --single --minimize parameters --quiet"
    assert run("search", *line.split()) == 0
    _, data, options = fake_search["search"][0]
    assert (data.target, data.sample_weight) == (("a", "b"), "w")
    assert (options.folds, options.repeats, options.refit, options.single) == (5, 1, True, True)
    assert options.minimize == "parameters"
    assert run("search", "t.csv", "--quantiles", "0.1,0.9", "--folds", "auto", "--quiet") == 0
    _, data, options = fake_search["search"][0]
    assert (data.quantiles, options.folds, options.refit) == ((0.1, 0.9), None, False)


def test_a_space_is_handed_on_as_text(fake_search: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a=b.toml"
    file.write_text("[loss]\n")
    assert run("search", "iris", "--space", str(file), "--quiet") == 0
    assert fake_search["search"][0][2].space == "[loss]\n"


def test_a_run_is_resumed_with_its_changes(fake_search: dict[str, Any]) -> None:
    assert run("search", "--resume", "runs/a", "--time", "1m", "--jobs", "2", "--quiet") == 0
    assert fake_search["resume"][0] == (Path("runs/a"), {"time": 60.0, "jobs": 2})


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("iris", "DATA"),
        ("--column a=text", "--column"),
        ("--test-share 0.3", "--test-share"),
        ("--seed 1", "--seed"),
        ("--refit", "--refit"),
    ],
)
def test_what_a_resumed_run_knows_already_is_refused(
    extra: str, named: str, fake_search: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("search", "--resume", "runs/a", *extra.split()) == 2
    assert f"however {named} came" in capsys.readouterr().err
    assert fake_search == {}


def test_json_is_one_object_and_nothing_else(fake_search: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("search", "iris", "--json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert (found["state"], found["test"]["roc_auc"], err) == ("finished", 0.8987, "")
    assert Path(found["run"]).name == "run"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("search", "autodl search needs DATA"),
        ("search iris --trails 4", "did you mean '--trials'?"),
        ("search iris --time soon", "must be a number above zero"),
        ("search iris --column zip", "--column must be NAME=KIND"),
        ("search iris --task guess", "--task must be one of"),
        ("search iris --quantiles some", "quantiles must be numbers between 0 and 1"),
        ("search iris --target a --target a", "each --target must be another column"),
        ("predict run iris --interval 90", "--interval must lie between 0 and 1, however 90 came"),
        ("search iris --space nowhere.toml", "No such file"),
        ("predict run iris -o nowhere/out.csv", "make it first"),
        ("components kitchens", "no room is called 'kitchens'"),
        ("leaderboard nowhere", "nowhere"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_whatever_the_user_can_act_on_is_one_line_and_code_2(
    line: str, message: str, as_json: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*line.split(), *(["--json"] if as_json else [])) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert err.startswith("autodl: ")
    assert message in err
    assert (json.loads(out) == {"error": err.removeprefix("autodl: ").strip()}) if as_json else out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("two\nlines"), 2, "autodl: two lines"),
        (OSError(errno.ENOSPC, "No space left on device", "x.csv"), 2, "autodl: the disk must have room for x.csv"),
        (PermissionError(errno.EACCES, "Permission denied", "x.csv"), 2, "autodl: x.csv must be open to you"),
        (KeyboardInterrupt(), 130, "autodl: stopped at once by Ctrl-C before the first trial"),
    ],
)
def test_errors_of_a_search_end_it_in_one_line(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodl.tuning.search.search", raises(error))
    assert run("search", "iris") == code
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EIO, "Input/output error")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodl.tuning.search.search", raises(error))
    with pytest.raises(type(error)) as caught:
        run("search", "iris")
    assert caught.value is error


def test_the_second_interrupt_says_how_to_go_on(
    story: Story, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, listener: Any, stop: Any, **options: Any) -> None:
        listener(story.started())
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("autodl.tuning.search.search", interrupted)
    assert run("search", "iris", "--quiet") == 130
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("stopping well")
    assert second == f"autodl: stopped at once by Ctrl-C; go on with: autodl search --resume {story.folder}"


def test_a_termination_ends_well(story: Story, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def terminated(*arguments: Any, listener: Any, stop: Any, **options: Any) -> Path:
        listener(story.started())
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        listener(story.finished(state="stopped"))
        return tmp_path

    monkeypatch.setattr("autodl.tuning.search.search", terminated)
    assert run("search", "iris") == 0


def test_other_commands_stop_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(autodl, "load", raises(KeyboardInterrupt()))
    assert run("evaluate", "run", "iris") == 130
    assert capsys.readouterr().err == "autodl: stopped at once by Ctrl-C\n"


def test_leaderboard(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("leaderboard", "run", "--limit", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "mlp 3 × 256" in lines[1]
    assert run("leaderboard", "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], [row["number"] for row in found["trials"]]) == ("roc_auc", [0, 1, 2])


def test_predictions_go_to_standard_output(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "run", "iris") == 0
    assert capsys.readouterr() == ("species\na\n'=b\n", "")
    assert run("predict", "run", "iris", "--probabilities") == 0
    assert capsys.readouterr().out == "species,probability_a,probability_b\na,0.75,0.25\n'=b,0.5,0.5\n"
    assert run("predict", "run", "iris", "--interval", "0.9") == 0
    assert capsys.readouterr().out == "species,species set\na,a|=b\n'=b,'=b\n"
    assert run("predict", "run", "iris", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "predictions": {"species": ["a", "=b"]}}


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(predictor: FakePredictor, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def warn(data: Any, root: Any) -> dict[str, float]:
        warnings.warn("3 cells cannot be used\nand count as missing", stacklevel=1)
        return {"accuracy": 1.0}

    monkeypatch.setattr(predictor, "evaluate", warn)
    assert run("evaluate", "run", "iris") == 0
    assert capsys.readouterr().err == "autodl: 3 cells cannot be used and count as missing\n"


def test_predictions_go_to_a_file(predictor: FakePredictor, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert run("predict", "run", "iris", "-o", str(file)) == 0
    assert file.read_text() == "species\na\n'=b\n"
    assert capsys.readouterr().out == f"2 predictions of 'species' are in {file}\n"
    assert run("predict", "run", "iris", "-o", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "output": str(file)}


def test_a_full_disk_leaves_no_half_written_predictions(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", raises(OSError(errno.ENOSPC, "No space left on device")))
    assert run("predict", "run", "iris", "-o", str(tmp_path / "out.csv")) == 2
    assert "however it is full" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.glob("*out*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a full device")
def test_a_full_disk_behind_standard_output_is_told(monkeypatch: pytest.MonkeyPatch, predictor: FakePredictor) -> None:
    import sys

    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = run("evaluate", "run", "iris")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert code == 2


def test_evaluate(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "run", "iris") == 0
    assert capsys.readouterr().out == "accuracy  0.7500\nlog_loss       –\n"
    assert run("evaluate", "run", "iris", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"target": "species", "metric": "accuracy", "scores": {"accuracy": 0.75, "log_loss": None}}


def test_several_targets_are_all_named(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "task", Task("a", "multilabel", metric="log_loss", further=("b",)), raising=False)
    monkeypatch.setattr(predictor, "predict", lambda data, root: pd.DataFrame({"a": [0, 1], "b": [1, 1]}))
    file = tmp_path / "out.csv"
    assert run("predict", "run", "iris", "-o", str(file)) == 0
    assert capsys.readouterr().out == f"2 predictions of 'a', 'b' are in {file}\n"
    assert file.read_text() == "a,b\n0,1\n1,1\n"
    assert run("evaluate", "run", "iris", "--json") == 0
    assert json.loads(capsys.readouterr().out)["target"] == ["a", "b"]


def test_components(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("components", "encoders") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "room", "distribution", "about"]
    assert {row.split()[1] for row in rows} == {"encoders"}
    assert run("components", "--json") == 0
    found = json.loads(capsys.readouterr().out)["components"]
    assert {"name": "mlp", "room": "encoders", "distribution": "torch-autodl"}.items() <= next(
        row for row in found if row["name"] == "mlp"
    ).items()


def test_a_terminal_that_lacks_a_letter_gets_its_escape(
    predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    import io
    import sys

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    assert run("leaderboard", "run") == 0
    assert rb"mlp 3 \xd7 256" in out.getvalue()


def test_an_error_that_comes_late_is_told_all_the_same(
    story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*arguments: Any, listener: Any, **options: Any) -> None:
        listener(story.started())
        raise RunError("at least one trial must finish")

    monkeypatch.setattr("autodl.tuning.search.search", failing)
    assert run("search", "iris", "--json") == 2
    assert json.loads(capsys.readouterr().out) == {"error": "at least one trial must finish"}
