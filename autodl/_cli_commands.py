"""The command line as data: every command, its arguments and its help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Argument(NamedTuple):
    """An option, or a positional argument where its one name has no dash; ``settings`` are argparse's own."""

    names: tuple[str, ...]
    help: str
    settings: dict[str, Any]


class Command(NamedTuple):
    """One command: its line in the overview, what its own help says more, its arguments by heading."""

    help: str
    more: str
    groups: dict[str, tuple[Argument, ...]]


def _whole(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not below the least."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {least}, however '{text}' came; change it"
            )
        return int(text)

    return read


def _folds(text: str) -> int | None:
    """Reads a number of folds; None for auto."""
    return None if text == "auto" else _whole(1)(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, however '{text}' came; change it") from None


def _rows(text: str) -> tuple[int, ...]:
    """Reads positions such as ``0-4,7``."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(f"must be positions such as 0-4,7, however '{text}' came; change it")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(dict.fromkeys(found))


def _option(*names: str, help: str, **settings: Any) -> Argument:
    return Argument(names, help, settings)


def _flag(name: str, help: str, default: bool | None = False) -> Argument:
    return Argument((name,), help, {"action": "store_true", "default": default})


_DATA_HELP = (
    "CSV, TSV, JSON lines (also .gz, .zip, .zst), Parquet, a folder with one sub-folder of images a class, or one of "
    "breast_cancer, diabetes, digits, iris, wine"
)
_RUN = Argument(("run",), "the run folder of a search, or a saved predictor", {"metavar": "RUN"})
_DATA = Argument(("data",), _DATA_HELP, {"metavar": "DATA"})
_JSON = _flag("--json", "print one JSON object instead of text; errors too")
_DEVICE_HELP = "auto (a GPU where there is one), cpu, cuda, cuda:1 or mps (default: auto)"
_DEVICE = _option("--device", metavar="NAME", help=_DEVICE_HELP)
_ROOT = _option("--root", metavar="DIR", help="folder that paths in cells start from (default: the table's own)")
_REPEAT: dict[str, Any] = {"action": "append"}
IMPORT = _option(
    "--import",
    metavar="MODULE",
    dest="imports",
    help="import a module of yours first, for the encoders it defines; repeat for more",
    **_REPEAT,
)

_ABOUT_DATA = (
    _option(
        "-t",
        "--target",
        metavar="NAME",
        help="column to predict; repeat for several; built-in sets and folders have their own",
        **_REPEAT,
    ),
    _option(
        "--task",
        metavar="KIND",
        help="binary, multiclass, multilabel, regression, multioutput or quantile (default: inferred)",
    ),
    _option("--quantiles", metavar="A,B", help="levels of a number to predict, such as 0.1,0.5,0.9"),
    _option(
        "--column",
        metavar="NAME=KIND",
        dest="columns",
        help="set a column's kind: number, category, boolean, date, text, image, audio or ignored; repeat for more",
        **_REPEAT,
    ),
    _option("--ignore", metavar="NAME", help="leave a column out; repeat for more", **_REPEAT),
    _option("--keep", metavar="NAME", help="keep a column that would be left out; repeat for more", **_REPEAT),
    _ROOT,
    _option("--sample-weight", metavar="NAME", help="column that says how much each row counts; no feature"),
    _option("--group", metavar="NAME", help="column whose equal values stay together in one part of the split"),
    _option("--time-order", metavar="NAME", help="column to split by: the latest rows are the test"),
    _option("--validation", metavar="FILE", help="rows that steer the search (default: split off, seeded)"),
    _option("--test", metavar="FILE", help="rows to test on, touched once (default: split off, seeded)"),
    _option(
        "--validation-share",
        metavar="SHARE",
        type=_number,
        help="share of the rest to steer by (default: 0.2)",
    ),
    _option("--test-share", metavar="SHARE", type=_number, help="share of the rows to test on (default: 0.2)"),
)
_ABOUT_SPACE = (
    _option(
        "--models",
        metavar="A,B",
        help="networks, all, or names of encoders and estimators: autodl components (default: all that fit)",
    ),
    _option("--metric", metavar="NAME", help="what to optimise (default: the usual one of the task)"),
    _option("--seed", metavar="N", type=_whole(0), help="source of all chance (default: 0)"),
)
_ABOUT_SEARCH = (
    _option("--time", metavar="TIME", help="wall time for everything: 90s, 5m, 1.5h (default: 5m without --trials)"),
    _option("--trials", metavar="N", type=_whole(1), help="trials to start at most (default: as many as fit)"),
    *_ABOUT_SPACE,
    _DEVICE,
    _option("--jobs", metavar="N", type=_whole(1), help="workers side by side (default: one a core, one on a GPU)"),
    _option("--space", metavar="FILE", help="an edited search space, as autodl space prints it"),
    _option("--output", metavar="DIR", help="run folder, new or empty (default: a new one in autodl-runs)"),
    _option("--resume", metavar="DIR", help="go on with this run; with it only --time, --trials, --jobs, --device"),
)
_ABOUT_KEEPING = (
    _option("--folds", metavar="N", type=_folds, help="folds to score by, 1 for one held-out part (default: auto)"),
    _option("--repeats", metavar="N", type=_whole(1), help="with --folds: divide all rows N times anew (default: 1)"),
    _flag("--refit", "train the best again on all rows but the test's", default=None),
    _flag("--single", "make the predictor one network, no ensemble", default=None),
    _option("--minimize", metavar="WHAT", help="keep small beside the score: latency or parameters"),
)

_ABOUT_EXPLAINING = (
    _option("--rows", metavar="A-B,C", type=_rows, help="positions of the rows, from 0 (default: 100 spread evenly)"),
    _option("--explainer", metavar="NAME", help="a method: autodl components explainers (default: auto)"),
    _option("--of", metavar="NAME", help="class, target or quantile in view (default: the one said most often)"),
    _option("--players", metavar="WHAT", help="columns, parts (words …), bands, or inputs (default: auto)"),
    _option("--set", metavar="NAME=VALUE", dest="settings", help="a setting of the method; repeat for more", **_REPEAT),
    _option("--background", metavar="N", type=_whole(1), help="training rows to compare with (default: as time bears)"),
    _option("--quantity", metavar="WHAT", help="probability, number, or score before softmax (default: as predicted)"),
    _option("--trial", metavar="N", type=_whole(0), help="explain this member alone (default: the whole predictor)"),
    _option("--time", metavar="TIME", help="wall time for everything; more makes errors smaller (default: 10s)"),
    _option("--seed", metavar="N", type=_whole(0), help="source of all chance (default: 0)"),
    _flag("--force", "answer in spite of objections, and say so"),
    _ROOT,
    _DEVICE,
)

COMMANDS = {
    "search": Command(
        "search networks for a table and save the best as a predictor",
        "Ctrl-C once ends it well and keeps the best, twice ends it at once; --resume goes on.",
        {
            "the data": (Argument(("data",), _DATA_HELP, {"metavar": "DATA", "nargs": "?"}), *_ABOUT_DATA),
            "the search": _ABOUT_SEARCH,
            "scores and what is kept": _ABOUT_KEEPING,
            "what is shown": (_flag("--quiet", "say only how good and where"), _JSON),
        },
    ),
    "leaderboard": Command(
        "show every trial of a run, best first",
        "",
        {
            "what": (
                _RUN,
                _option("--limit", metavar="N", type=_whole(1), help="rows to show (default: 20; with --json all)"),
                _JSON,
            )
        },
    ),
    "predict": Command(
        "predict every row of a table, as CSV",
        "",
        {
            "what": (
                _RUN,
                _DATA,
                _option("-o", "--output", metavar="FILE", help="where to write (default: standard output)"),
                _flag("--probabilities", "add the probability of each class, from 0 to 1"),
                _option(
                    "--interval",
                    metavar="SHARE",
                    type=_number,
                    help="add a range, or a set of classes, that holds the truth in this share of rows, such as 0.9",
                ),
                _ROOT,
                _DEVICE,
                _JSON,
            )
        },
    ),
    "evaluate": Command(
        "compare predictions with the target of a table",
        "",
        {"what": (_RUN, _DATA, _ROOT, _DEVICE, _JSON)},
    ),
    "explain": Command(
        "show on what each prediction rests, as one offline HTML page",
        "Shapley values with their error, importance, counterfactuals, a what-if panel, how good the explanation is.",
        {
            "what": (_RUN, _DATA, *_ABOUT_EXPLAINING),
            "where it goes": (
                _option(
                    "-o", "--output", metavar="FILE", help="the page (default: explanation.html in the run folder)"
                ),
                _option("--csv", metavar="FILE", help="write every value with its error as CSV too"),
                _option("--png", metavar="DIR", help="write the figures as pictures too (needs the extra png)"),
                _JSON,
            ),
        },
    ),
    "report": Command(
        "show a search as one offline HTML page",
        "History, hyperparameters and their importance, every trial, scores and what they are worth.",
        {
            "what": (
                _RUN,
                _option("-o", "--output", metavar="FILE", help="the page (default: report.html in the run folder)"),
                _JSON,
            )
        },
    ),
    "space": Command(
        "print the search space as TOML, to edit and hand to search --space",
        "",
        {"the data": (_DATA, *_ABOUT_DATA), "the search": _ABOUT_SPACE},
    ),
    "components": Command(
        "list what networks are made of, and who ships it",
        "",
        {
            "what": (
                _option("room", metavar="ROOM", nargs="?", help="one room only, such as encoders (default: all)"),
                _JSON,
            )
        },
    ),
}
