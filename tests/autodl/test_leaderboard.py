from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.errors import RunError
from autodl.leaderboard import Leaderboard, describe, model_name
from autodl.records import Component, TrialConfig, TrialRecord


def config(**changes: Any) -> TrialConfig:
    parts = {
        "modalities": {"table": Component("tabular", {"scaling": "robust"})},
        "encoders": {"table": Component("mlp", {"depth": 3, "width": 256, "activation": "gelu", "dropout": 0.1})},
        "loss": Component("cross_entropy", {"smoothing": 0.1}),
        "optimizer": Component("adamw", {"learning_rate": 0.002134}),
        "training": {"batch_size": 32},
        "epochs": 27,
        "seed": 1,
    }
    return TrialConfig(**{**parts, **changes})


def record(number: int, score: float | None, **changes: Any) -> TrialRecord:
    return TrialRecord(**{"number": number, "state": "complete", "config": config(), "score": score, **changes})


RECORDS = [
    record(0, 0.5, state="pruned", epoch=3, best_epoch=2, n_parameters=1234, seconds=1.23456, source="portfolio"),
    record(1, None, state="failed", error="weights became infinite"),
    record(2, 0.9, epoch=27, best_epoch=20, rungs={3: 0.7, 9: math.nan}),
    record(3, 0.5, state="failed", error="=cmd|'/c calc'!A0"),
    record(4, math.nan, state="running"),
]


def test_best_first_then_by_number_and_those_without_a_score_last() -> None:
    assert [each.number for each in Leaderboard(RECORDS, "accuracy", True).records] == [2, 0, 3, 1, 4]
    board = Leaderboard(RECORDS, "log_loss", False)
    assert [each.number for each in board.records] == [0, 3, 2, 1, 4]
    assert board.best is not None
    assert board.best.number == 0
    assert len(board) == 5
    assert Leaderboard([RECORDS[1]], "log_loss", False).best is None
    assert Leaderboard([], "log_loss", False).best is None


def test_the_frame_tells_everything() -> None:
    frame = Leaderboard(RECORDS, "accuracy", True, {2: 0.75, 0: 0.25}).frame()
    assert frame.columns.tolist() == [
        *["rank", "number", "state", "score", "model", "what", "epochs", "best_epoch", "parameters", "seconds"],
        *["source", "weight", "cost", "front", "error"],
    ]
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5]
    assert frame["weight"].tolist() == [0.75, 0.25, 0, 0, 0]
    assert frame["score"].isna().tolist() == [False, False, False, True, True]
    assert frame["cost"].isna().all()
    assert not frame["front"].any()
    assert frame.drop(columns="cost").loc[1].to_dict() | {"what": ""} == {
        **{"rank": 2, "number": 0, "state": "pruned", "score": 0.5, "model": "mlp", "what": "", "epochs": 3},
        **{"best_epoch": 2, "parameters": 1234, "seconds": 1.235, "source": "portfolio", "weight": 0.25},
        **{"front": False, "error": ""},
    }


ESTIMATOR = TrialConfig(
    {"table": Component("tabular")},
    {},
    Component(""),
    Component(""),
    {},
    1,
    0,
    estimator=Component("extra_trees", {"max_features": 0.512345, "min_samples_leaf": 3, "criterion": "gini"}),
)


def test_estimators_stand_beside_networks() -> None:
    board = Leaderboard([*RECORDS, record(7, 0.95, config=ESTIMATOR, source="baseline")], "accuracy", True)
    first = board.rows()[0]
    assert (first["model"], first["source"]) == ("extra_trees", "baseline")
    assert first["what"] == "extra_trees, max_features 0.51, min_samples_leaf 3, criterion gini"
    assert "extra_trees, max_features 0.51" in board.table()
    assert Leaderboard.from_json(json.loads(json.dumps(board.to_json()))).records[0].config == ESTIMATOR


@pytest.mark.parametrize(
    ("encoders", "name"),
    [
        ({"table": Component("mlp")}, "mlp"),
        ({"table": Component("mlp"), "photo": Component("cnn")}, "cnn + mlp"),
    ],
)
def test_a_network_is_called_by_its_encoders_in_order_of_their_inputs(
    encoders: dict[str, Component], name: str
) -> None:
    assert model_name(config(encoders=encoders)) == name


class TestTwoObjectives:
    board = Leaderboard(
        [record(0, 0.9, cost=12.5), record(1, 0.8, cost=3.0), record(2, 0.7, cost=math.inf), record(3, 0.6)],
        "accuracy",
        True,
        {1: 1.0},
        frozenset({0, 1}),
    )

    def test_costs_and_the_front_are_told_everywhere(self, tmp_path: Path) -> None:
        frame = self.board.frame()
        assert frame["cost"].tolist()[:2] == [12.5, 3.0]
        assert frame["cost"].isna().tolist() == [False, False, True, True]  # what is not finite is not known
        assert frame["front"].tolist() == [True, True, False, False]
        self.board.to_csv(tmp_path / "board.csv")
        found = pd.read_csv(tmp_path / "board.csv")
        pd.testing.assert_series_equal(found["cost"], frame["cost"].astype(float))
        assert found["front"].tolist() == [True, True, False, False]
        head, *lines = self.board.table().splitlines()
        assert head.split()[-2:] == ["cost", "front"]
        assert [line.split()[-2:] for line in lines[:2]] == [["12.5", "*"], ["3", "*"]]
        assert not any(line.endswith("*") for line in lines[2:])

    def test_json_brings_them_back(self) -> None:
        found = Leaderboard.from_json(json.loads(json.dumps(self.board.to_json(), allow_nan=False)))
        assert found.front == {0, 1}
        pd.testing.assert_frame_equal(found.frame(), self.board.frame())

    def test_without_costs_the_table_has_no_such_columns(self) -> None:
        assert "cost" not in Leaderboard(RECORDS, "accuracy", True).table()


def test_an_empty_leaderboard_has_the_same_columns(tmp_path: Path) -> None:
    empty = Leaderboard([], "accuracy", True)
    assert empty.frame().columns.tolist() == Leaderboard(RECORDS, "accuracy", True).frame().columns.tolist()
    assert empty.frame()["score"].dtype == "float64"
    empty.to_csv(tmp_path / "board.csv")
    assert len(pd.read_csv(tmp_path / "board.csv")) == 0
    assert empty.table().count("\n") == 0


def test_csv_reads_back_and_is_the_same_text_each_time(tmp_path: Path) -> None:
    board = Leaderboard(RECORDS, "accuracy", True, {2: 1.0})
    board.to_csv(tmp_path / "a.csv")
    Leaderboard(RECORDS[::-1], "accuracy", True, {2: 1.0}).to_csv(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    found = pd.read_csv(tmp_path / "a.csv")
    pd.testing.assert_series_equal(found["score"], board.frame()["score"])
    assert found["what"].tolist() == ["mlp 3 × 256 gelu, adamw 0.0021"] * 5


@given(text=st.text(max_size=20), start=st.sampled_from(["=", "+", "-", "@", "\t", "\r", ""]))
def test_a_spreadsheet_runs_nothing(text: str, start: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "board.csv"
    Leaderboard([record(0, -0.5, error=start + text, source="@SUM(A1)")], "r2", True).to_csv(path)
    with path.open(encoding="utf-8", newline="") as file:
        _, cells = csv.reader(file)
    assert cells[3] == "-0.5"
    assert cells[9] == "'@SUM(A1)"
    assert not cells[-1].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cells[-1].isprintable()
    assert cells[-1].count("x") == text.count("x")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must be writable"):
        Leaderboard(RECORDS, "accuracy", True).to_csv(tmp_path / "no such folder" / "board.csv")


def test_the_table_fits_a_terminal_and_obeys_nobody() -> None:
    hostile = record(9, 0.1, error="\x1b[2J" + "long " * 50)
    text = Leaderboard([*RECORDS, hostile], "accuracy", True, {2: 1.0}).table(limit=4)
    lines = text.split("\n")
    assert lines[0].split() == ["rank", "trial", "state", "accuracy", "what", "epochs", "seconds", "weight"]
    assert lines[1].split() == [
        *["1", "2", "complete", "0.9000", "mlp", "3", "×", "256", "gelu,", "adamw", "0.0021", "20/27", "0.0", "1.00"]
    ]
    assert lines[-1] == "… and 2 more"
    assert "\x1b" not in text
    assert max(map(len, lines)) < 130
    assert "weights became infinite" in Leaderboard(RECORDS, "accuracy", True).table(limit=None)


def test_json_comes_back() -> None:
    board = Leaderboard(RECORDS, "accuracy", True, {2: 0.75, 0: 0.25})
    text = json.dumps(board.to_json(), allow_nan=False)
    found = Leaderboard.from_json(json.loads(text))
    assert json.dumps(found.to_json()) == text
    assert found.weights == board.weights
    pd.testing.assert_frame_equal(found.frame(), board.frame())
    assert math.isnan(found.records[0].rungs[9])
    assert found.records[0].config == board.records[0].config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "mlp 3 × 256 gelu, adamw 0.0021"),
        ({"encoders": {"table": Component("linear")}}, "linear, adamw 0.0021"),
        ({"optimizer": Component("sgd", {"learning_rate": 1.5e-6})}, "mlp 3 × 256 gelu, sgd 1.5e-06"),
        ({"optimizer": Component("own")}, "mlp 3 × 256 gelu, own"),
        (
            {"encoders": {"x": Component("fancy", {"heads": 4, "embedding": "periodic", "normalisation": "none"})}},
            "fancy periodic, adamw 0.0021",
        ),
        (
            {
                "encoders": {"table": Component("linear"), "image": Component("cnn", {"blocks": 2, "channels": 32})},
                "fusion": Component("concat"),
            },
            "image: cnn 2 × 32 + table: linear, concat, adamw 0.0021",
        ),
    ],
)
def test_a_configuration_in_words(changes: dict[str, Any], words: str) -> None:
    assert describe(config(**changes)) == words


def test_reading_a_leaderboard_imports_neither_torch_nor_pandas() -> None:
    code = "import sys, autodl.leaderboard; assert not {'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
