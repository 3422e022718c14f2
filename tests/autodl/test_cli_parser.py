from __future__ import annotations

import re

import pytest

from autodl._cli_commands import COMMANDS
from autodl._cli_parser import parse
from autodl.errors import AutoDLError


def test_every_option_of_a_search_is_read() -> None:
    line = (
        "search data.csv -t y --target z --task binary --quantiles 0.1,0.9 --sample-weight w "
        "--column a=text --column b=date --ignore c --keep d --root images "
        "--group g --time-order t --validation v.csv --test t.csv --validation-share 0.1 --test-share 0.3 --time 5m "
        "--trials 9 --models mlp,cnn --metric auc --seed 4 "
        "--device cpu --jobs 2 --space s.toml --output run --folds 5 --repeats 2 --refit --single --minimize latency "
        "--quiet --json --import nets"
    )
    found = vars(parse(line.split()))
    assert found.pop("command") == "search"
    assert found == {
        "data": "data.csv",
        "target": ["y", "z"],
        "task": "binary",
        "quantiles": "0.1,0.9",
        "sample_weight": "w",
        "columns": ["a=text", "b=date"],
        "ignore": ["c"],
        "keep": ["d"],
        "root": "images",
        "group": "g",
        "time_order": "t",
        "validation": "v.csv",
        "test": "t.csv",
        "validation_share": 0.1,
        "test_share": 0.3,
        "time": "5m",
        "trials": 9,
        "models": "mlp,cnn",
        "metric": "auc",
        "seed": 4,
        "device": "cpu",
        "jobs": 2,
        "space": "s.toml",
        "output": "run",
        "resume": None,
        "folds": 5,
        "repeats": 2,
        "refit": True,
        "single": True,
        "minimize": "latency",
        "quiet": True,
        "json": True,
        "imports": ["nets"],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "required: COMMAND; see autodl --help"),
        ("serach x", "'serach' came; did you mean 'search'?"),
        ("search x --trails 5", "no option '--trails'; did you mean '--trials'?"),
        ("search x --trials=5 --tme=3m", "no option '--tme'; did you mean '--time'?"),
        ("search x --tri 5", "no option '--tri'; did you mean '--trials'?"),
        ("search x y", "takes DATA only, however 'y' came too"),
        ("predict run x y", "takes RUN DATA only, however 'y' came too"),
        ("search x --trials 0", "--trials must be a whole number of at least 1, however '0' came"),
        ("search x --folds 0", "--folds must be a whole number of at least 1, however '0' came"),
        ("search x --folds many", "--folds must be a whole number of at least 1, however 'many' came"),
        ("predict x y --interval wide", "--interval must be a number, however 'wide' came"),
        ("search x --trials 1.5", "--trials must be a whole number"),
        ("search x --seed -1", "--seed must be a whole number of at least 0"),
        ("search x --test-share much", "--test-share must be a number, however 'much' came"),
        ("search x --time", "--time expected one argument; see autodl search --help"),
        ("predict run", "required: DATA; see autodl predict --help"),
        ("components --limit 3", "no option '--limit'"),
        ("--quiet", "required: COMMAND"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(AutoDLError, match=re.escape(message)) as caught:
        parse(line.split())
    assert "\n" not in str(caught.value)


def test_a_run_is_resumed_without_data() -> None:
    assert parse(["search", "--resume", "run"]).data is None


def test_what_is_not_said_of_a_search_is_none() -> None:
    said = vars(parse(["search", "x"]))
    assert {name for name, value in said.items() if value is not None} == {"command", "data", "quiet", "json"}
    assert parse(["search", "x", "--folds", "auto"]).folds is None


def test_a_prediction_has_an_interval() -> None:
    assert parse(["predict", "run", "x", "--interval", "0.9"]).interval == 0.9


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_names_every_option_and_fits_a_terminal(
    command: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        parse([command, "--help"] if command else ["--help"])
    said = capsys.readouterr().out
    assert end.value.code in (0, None)
    assert max(map(len, said.splitlines())) <= 80
    groups = COMMANDS[command].groups.values() if command else ()
    for argument in (argument for group in groups for argument in group):
        assert all(name in said for name in argument.names if name.startswith("-"))
        assert " ".join(argument.help.split()) in " ".join(said.split())
    if command is None:
        assert all(name in said for name in COMMANDS)
