"""Reads a command line: commands and options as ``autodl._cli_commands`` lists them, refused with the nearest one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from autodl._cli_commands import COMMANDS, IMPORT, Command
from autodl.errors import AutoDLError, nearest

_ABOUT = "From a table of numbers, categories, dates and images to a tested, saved network."
_EPILOG = "autodl COMMAND --help tells more of each. Start with: autodl search breast_cancer --time 1m"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line; ``--help`` and ``--version`` print and raise SystemExit.

    Raises:
        AutoDLError: It cannot be read; the line names the nearest command or option.
    """
    parser = _Parser(prog="autodl", description=_ABOUT, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument(
        "-V", "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        raise AutoDLError(f"there must be a command of that name, however '{arguments[0]}' came; {_near(arguments[0])}")
    for name, command in COMMANDS.items():
        described = f"{command.help[0].upper()}{command.help[1:]}.{command.more and ' '}{command.more}"
        inner = commands.add_parser(name, help=command.help, description=described, allow_abbrev=False)
        if arguments and arguments[0] == name:
            _fill(inner, command)
    found, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse(found.command, unknown)
    return found


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into one of ours."""
        said = re.sub(r"^argument ([^:]+): ", r"\1 ", message)
        advice = "" if ";" in said else f"; see {self.prog} --help"
        raise AutoDLError(said + advice)


class _Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *others: Any) -> NoReturn:
        """Print it and leave."""
        from autodl import __version__

        print(f"autodl {__version__}")
        parser.exit()


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    for title, arguments in (*command.groups.items(), ("your own modules", (IMPORT,))):
        group = parser.add_argument_group(title)
        for argument in arguments:
            group.add_argument(*argument.names, help=argument.help, **argument.settings)


def _refuse(command: str, unknown: Sequence[str]) -> NoReturn:
    arguments = [*(argument for group in COMMANDS[command].groups.values() for argument in group), IMPORT]
    option = next((text.split("=")[0] for text in unknown if text.startswith("-")), None)
    if option is None:
        taken = " ".join(argument.names[0].upper() for argument in arguments if argument.names[0][0] != "-")
        advice = "put quotes around what holds blanks"
        raise AutoDLError(f"autodl {command} takes {taken} only, however '{unknown[0]}' came too; {advice}")
    options = [name for argument in arguments for name in argument.names if name.startswith("--")]
    raise AutoDLError(f"autodl {command} has no option '{option}'; {nearest(option, options)}")


def _near(name: str) -> str:
    return nearest(name, COMMANDS)
