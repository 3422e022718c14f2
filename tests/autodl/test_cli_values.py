from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl._cli_values import changes, column_kinds, data_options, levels, names, search_options, seconds, space_text
from autodl.errors import AutoDLError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m 10s", 5410),
        (" 2 M ", 120),
        ("1d", 86400),
        (".5m", 30),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "m", "5x", "0", "-5m", "1h30", "5 5", "nan", "inf", "5m later", "1e3", math.nan, math.inf, -1, True, 0.0],
)
def test_what_is_no_duration_is_refused_in_one_line(text: str | float) -> None:
    with pytest.raises(
        AutoDLError, match=r"must be a number above zero.*however .* came; write for example 90s"
    ) as caught:
        seconds(text)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 10**6), st.sampled_from("smhd"))
def test_a_duration_in_a_unit_is_so_many_of_that_unit(count: int, unit: str) -> None:
    assert seconds(f"{count}{unit}") == count * seconds(f"1{unit}")


def test_lists_of_names() -> None:
    assert names("mlp, cnn,") == ("mlp", "cnn")
    assert names(["mlp", "cnn,linear"]) == ("mlp", "cnn", "linear")


def test_levels_are_numbers() -> None:
    assert levels("0.1, 0.5,0.9") == levels([0.1, 0.5, 0.9]) == (0.1, 0.5, 0.9)


@pytest.mark.parametrize("said", ["0.1,half", ["a"], 0.5, [None]])
def test_levels_that_are_no_numbers_are_refused(said: object) -> None:
    with pytest.raises(AutoDLError, match=r"quantiles must be numbers between 0 and 1, however .* came; write"):
        levels(said)  # type: ignore[arg-type]


def test_column_kinds_take_the_last_equals_sign() -> None:
    assert column_kinds(["zip=category", "a=b=text"]) == {"zip": "category", "a=b": "text"}


@pytest.mark.parametrize("pair", ["zip", "=text", ""])
def test_a_pair_without_a_name_or_a_kind_is_refused(pair: str) -> None:
    with pytest.raises(AutoDLError, match="must be NAME=KIND"):
        column_kinds([pair])


def test_a_space_is_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text("\ufeff[loss]\nname = 'huber'\n", encoding="utf-8")
    assert space_text(file) == space_text(str(file)) == "[loss]\nname = 'huber'\n"
    assert space_text("[loss]\nname = 'huber'") == "[loss]\nname = 'huber'"
    assert space_text("training.ema = 0.9") == "training.ema = 0.9"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_space_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "space.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AutoDLError, match=r"must be a TOML file.*autodl space DATA"):
        space_text(file)


def test_what_was_said_goes_to_the_record_that_takes_it() -> None:
    given = {
        "target": ["y"],
        "quantiles": "0.9,0.1",
        "sample_weight": "w",
        "folds": 5,
        "single": True,
        "columns": {"zip": "category"},
        "ignore": ["a"],
        "keep": None,
        "root": Path("images"),
        "test": Path("test.csv"),
        "seed": 3,
        "time": "2m",
        "models": "mlp,linear",
        "output": Path("run"),
        "quiet": True,
    }
    data, search = data_options(given), search_options(given)
    assert (data.target, data.columns, data.ignore, data.keep) == (("y",), {"zip": "category"}, ("a",), ())
    assert (data.quantiles, data.sample_weight) == ((0.1, 0.9), "w")
    assert (search.folds, search.single, search.refit) == (5, True, False)
    assert (data.root, data.test, data.seed, data.test_share) == ("images", "test.csv", 3, 0.2)
    assert (search.time, search.models, search.output, search.seed) == (120.0, ("mlp", "linear"), "run", 3)


def test_changes_of_a_resumed_run_are_those_that_were_said() -> None:
    assert changes({"time": "1m", "trials": None, "jobs": 2, "device": None}) == {"time": 60.0, "jobs": 2}
