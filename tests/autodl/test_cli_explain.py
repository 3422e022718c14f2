from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from autodl import _cli_explain as explaining
from autodl import cli
from autodl.errors import AutoDLError
from autodl.predictor import Predictor


@pytest.fixture
def run(networks: Predictor, rows: pd.DataFrame, tmp_path: Path) -> Path:
    """A folder with a saved predictor and rows to explain."""
    networks.save(tmp_path / "run")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def test_the_page_lies_in_the_run_folder_unless_told_otherwise(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(run / "run"), str(run / "rows.csv"), "--time", "5s"]) == 0
    said = capsys.readouterr().out
    assert "shapley of probability 'yes'" in said
    assert f"open in a browser: {run / 'run' / 'explanation.html'}" in said
    assert "What matters" in (run / "run" / "explanation.html").read_text()


def test_numbers_go_out_as_json_and_csv(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "explain",
        str(run / "run"),
        str(run / "rows.csv"),
        "--rows",
        "2,0",
        "--of",
        "no",
        "--json",
        "--time",
        "4s",
    ]
    assert cli.main([*words, "--csv", str(run / "values.csv"), "-o", str(run / "page.html")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(run / "page.html")
    assert told["rows"] == 2
    assert told["output"] == "no"
    assert [each["output"] for each in told["outputs"]] == ["no", "yes"]
    with (run / "values.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 2 * 4
    assert {line["row"] for line in lines} == {"2", "0"}


def test_a_method_and_its_settings_can_be_chosen(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", str(run / "run"), str(run / "rows.csv"), "--explainer", "integrated_gradients", "--time", "4s"]
    assert cli.main([*words, "--set", "steps=30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["explainer"] == "integrated_gradients"
    assert told["settings"]["steps"] == 30
    assert told["baseline"] == "the mean training row"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--explainer", "shaply"], "no explainer is called 'shaply'; did you mean 'shapley'"),
        (["--set", "evaluations"], "--set must be NAME=VALUE, however 'evaluations' came"),
        (["--of", "perhaps"], "no output is called 'perhaps'"),
        (["--rows", "99"], "rows must be positions below 12, however 99 came"),
        (["-o", "nowhere/page.html"], "-o must name a file in a folder that exists"),
        (["--explainer", "deep_lift"], "deep_lift would mislead here"),
    ],
)
def test_what_cannot_be_explained_is_refused_and_nothing_is_written(
    words: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str], learners: Predictor
) -> None:
    if "deep_lift" in words:
        learners.save(run / "run")
    before = sorted(run.rglob("*"))
    assert cli.main(["explain", str(run / "run"), str(run / "rows.csv"), "--time", "4s", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


def test_the_search_has_a_page_of_its_own(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(run / "run"), "-o", str(run / "report.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == (run / "report.html").stat().st_size
    assert "Leaderboard" in (run / "report.html").read_text()


def test_values_of_settings_are_numbers_truth_or_words() -> None:
    read = explaining.settings(["steps=5", "share=0.5", "centred=true", "desired=class", "names=a,b", "odd=[1]"])
    assert read == {
        "steps": 5,
        "share": 0.5,
        "centred": True,
        "desired": "class",
        "names": "a,b",
        "odd": "[1]",
    }


@pytest.mark.slow
def test_figures_go_out_as_pictures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("there is no chromium, chromium-browser or google-chrome here")
    words = ["explain", str(run / "run"), str(run / "rows.csv"), "--rows", "0-1", "--time", "3s", "--json"]
    assert cli.main([*words, "--png", str(run / "pictures")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {Path(each).name for each in told["png"]} >= {"importance.png", "beeswarm.png", "row-0.png", "row-1.png"}
    assert all(Path(each).read_bytes().startswith(b"\x89PNG") for each in told["png"])


def test_pictures_need_their_extra(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AutoDLError, match=r"--png needs the extra png"):
        explaining._check_pictures()
