from __future__ import annotations

import argparse

import pytest

from autodl._cli_commands import COMMANDS, IMPORT
from autodl._cli_parser import parse
from autodl.errors import AutoDLError


def test_every_argument_says_what_it_is_and_no_name_is_taken_twice() -> None:
    for name, command in COMMANDS.items():
        arguments = [*(each for group in command.groups.values() for each in group), IMPORT]
        names = [option for argument in arguments for option in argument.names]
        assert len(names) == len(set(names)), name
        assert all(argument.help for argument in arguments), name


def test_rows_are_positions_and_ranges() -> None:
    assert parse(["explain", "run", "data.csv", "--rows", "7,0-2,1"]).rows == (7, 0, 1, 2)


@pytest.mark.parametrize("rows", ["3-1", "-1", "a", "1,,2", "1.5"])
def test_rows_that_are_no_positions_are_refused(rows: str) -> None:
    with pytest.raises(AutoDLError, match="--rows must be positions such as 0-4,7"):
        parse(["explain", "run", "data.csv", f"--rows={rows}"])


def test_settings_are_gathered() -> None:
    found = parse(["explain", "run", "data.csv", "--set", "steps=5", "--set", "baseline=a=b"])
    assert isinstance(found, argparse.Namespace)
    assert found.settings == ["steps=5", "baseline=a=b"]
    assert found.force is False
