"""The command line: search, leaderboard, predict, evaluate, explain, report, space, components.

Exit codes: 0 done; 2 something the user can act on, told in one line; 130 stopped by Ctrl-C. What is a bug of ours
keeps its traceback. Nothing slow is imported before a command needs it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from autodl._cli_parser import parse
from autodl.errors import AutoDLError

_OK, _REFUSED, _INTERRUPTED = 0, 2, 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def main(arguments: Sequence[str] | None = None, started: float | None = None) -> int:
    """Run one command line and return the exit code.

    Args:
        arguments: What stands behind ``autodl``; None takes it from the process.
        started: ``time.time()`` at which the process began: the budget counts from there.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever a terminal cannot show
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            code = _run(given, started)
        sys.stdout.flush()
    except AutoDLError as error:
        return _fail(str(error), as_json)
    except KeyboardInterrupt:
        return _fail("stopped at once by Ctrl-C", as_json, _INTERRUPTED)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except OSError as error:
        reason = _explained(error)
        if reason is None:
            raise
        return _fail(reason, as_json)
    return code


def _run(given: Sequence[str], started: float | None) -> int:
    try:
        options = parse(given)
    except SystemExit:  # --help and --version
        return _OK
    if options.imports:
        from autodl import own

        own.import_modules(options.imports)
    if options.command == "search":
        return _search(options, started)
    if options.command == "explain":
        return _explain(options, started)
    commands = {
        "leaderboard": _leaderboard,
        "predict": _predict,
        "evaluate": _evaluate,
        "report": _report,
        "space": _space,
        "components": _components,
    }
    commands[options.command](options)
    return _OK


def _search(options: Namespace, started: float | None) -> int:
    import signal

    from autodl._cli_screens import nearby
    from autodl.live import watching

    given = _given(options)
    mode = "silent" if options.json else "quiet" if options.quiet else "show"
    with watching(mode, (signal.SIGINT, signal.SIGTERM)) as watch:  # type: ignore[arg-type]
        try:
            _start(given, watch, started)
        except KeyboardInterrupt:
            told = watch.progress.started
            how = f"; go on with: autodl search --resume {nearby(told.folder)}" if told else " before the first trial"
            watch.close()
            return _fail(f"stopped at once by Ctrl-C{how}", options.json, _INTERRUPTED)
    finished = watch.progress.finished
    if options.json and finished is not None:
        _print_json({"run": str(finished.folder), **finished.summary})
    return _OK


def _start(given: dict[str, Any], watch: Any, started: float | None) -> None:
    """Begin a search, or go on with one."""
    from pathlib import Path

    from autodl._cli_values import changes, data_options, search_options

    if "resume" in given:
        folder = Path(given.pop("resume"))
        _check_resumed(given)
        said = changes(given)
        from autodl.tuning.search import resume

        resume(folder, said, listener=watch, stop=watch.stop, started=started)
        return
    if "data" not in given:
        raise AutoDLError(
            "autodl search needs DATA, however none came; name a file, or go on with a run by --resume DIR"
        )
    both = data_options(given), search_options(given)
    from autodl.tuning.search import search

    search(given["data"], *both, listener=watch, stop=watch.stop, started=started)


def _check_resumed(given: dict[str, Any]) -> None:
    """A resumed run has its data and its seed already."""
    for name in given:
        if name not in ("time", "trials", "jobs", "device"):
            what = (
                "DATA" if name == "data" else f"--{name.rstrip('s') if name == 'columns' else name}".replace("_", "-")
            )
            raise AutoDLError(
                f"a resumed run keeps what it was begun with, however {what} came; leave it out, or start a new run"
            )


def _leaderboard(options: Namespace) -> None:
    from autodl import load

    board = load(options.run, device="cpu").leaderboard
    if options.json:
        rows = board.rows()[: options.limit]
        _print_json({"metric": board.metric, "greater_is_better": board.greater_is_better, "trials": rows})
    else:
        print(board.table(options.limit or 20))


def _predict(options: Namespace) -> None:
    from autodl import load
    from autodl._cli_output import check_interval, check_output, csv_text, predictions

    if options.output is not None:
        output = check_output(options.output)
    if options.interval is not None:
        check_interval(options.interval)
    predictor = load(options.run, device=options.device or "auto")
    frame = predictions(predictor, options.data, options.root, options.probabilities, options.interval)
    if options.output is not None:
        from autodl.storage import write_file

        write_file(output, csv_text(frame).encode("utf-8", "backslashreplace"))
        if options.json:
            _print_json({"rows": len(frame), "output": str(options.output)})
        else:
            print(f"{len(frame):,} predictions of {_named(predictor.task)} are in {options.output}")
    elif options.json:
        _print_json({"rows": len(frame), "predictions": frame.to_dict("list")})
    else:
        sys.stdout.write(csv_text(frame))


def _evaluate(options: Namespace) -> None:
    from autodl import load
    from autodl._cli_screens import aligned, score

    predictor = load(options.run, device=options.device or "auto")
    scores = predictor.evaluate(options.data, options.root)
    if options.json:
        task = predictor.task
        target = list(task.targets) if task.further else task.target
        _print_json({"target": target, "metric": task.metric, "scores": scores})
    else:
        print(*aligned([[name, score(value)] for name, value in scores.items()], left={0}), sep="\n")


def _explain(options: Namespace, started: float | None) -> int:
    import time

    from autodl._cli_explain import explain

    done = explain(options, started or time.time())
    if options.json:
        _print_json(done)
    else:
        print(done["summary"], _page(done), sep="\n")
    return _OK


def _report(options: Namespace) -> None:
    from autodl._cli_explain import report

    done = report(options)
    if options.json:
        _print_json(done)
    else:
        print(_page(done))


def _page(done: dict[str, Any]) -> str:
    return f"open in a browser: {done['page']} ({done['bytes'] / 1e6:.1f} MB, {done['seconds']:.1f} s)"


def _space(options: Namespace) -> None:
    from autodl._cli_values import data_options, search_options
    from autodl.tuning.search import build_space
    from autodl.tuning.toml_space import to_toml

    given = _given(options)
    space, dataset = build_space(options.data, data_options(given), search_options(given))
    print(to_toml(space, f"search space of {dataset.source}: predict {_named(dataset.task)}"), end="")


def _components(options: Namespace) -> None:
    from autodl._cli_screens import aligned, printable
    from autodl.errors import unknown_name
    from autodl.registry import ROOMS

    if options.room is not None and options.room not in ROOMS:
        raise unknown_name("room", options.room, ROOMS)
    rooms = [ROOMS[options.room]] if options.room else list(ROOMS.values())
    rows = [
        {"name": name, "room": room.room, "distribution": room.distribution(name), "about": room.describe(name)}
        for room in rooms
        for name in room.names()
    ]
    if options.json:
        _print_json({"components": rows})
    else:
        cells = [[*(rows[0] if rows else ())], *([printable(cell) for cell in row.values()] for row in rows)]
        print(*aligned(cells, left=range(4)), sep="\n")


def _named(task: Any) -> str:
    """The targets, in quotes."""
    return ", ".join(f"'{name}'" for name in task.targets)


def _given(options: Namespace) -> dict[str, Any]:
    """What was said on the command line, by the names of the records that take it."""
    from pathlib import Path

    from autodl._cli_values import column_kinds

    given = {name: value for name, value in vars(options).items() if value is not None}
    for name in ("command", "quiet", "json", "imports"):
        given.pop(name, None)
    if "columns" in given:
        given["columns"] = column_kinds(given["columns"])
    if "space" in given:
        given["space"] = Path(given["space"])
    return given


def _fail(message: str, as_json: bool, code: int = _REFUSED) -> int:
    """Say in one line what went wrong."""
    line = " ".join(message.splitlines())
    try:
        if as_json:
            _print_json({"error": line})
            sys.stdout.flush()
        print(f"autodl: {line}", file=sys.stderr)
    except OSError:
        pass  # nobody listens, or the disk that the words go to is full: the code tells
    return code


def _explained(error: OSError) -> str | None:
    """What a user can do about it; None where it must be a bug of ours."""
    where = error.filename or "the output"
    if error.errno in _FULL:
        return f"the disk must have room for {where}, however it is full; free some space and try again"
    if error.errno in _FORBIDDEN:
        return f"{where} must be open to you, however: {error.strerror}; change its permissions or name another"
    return None


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *others: Any) -> None:
    """A warning as one line, without the place in the code that gave it."""
    print(f"autodl: {' '.join(str(message).splitlines())}", file=sys.stderr)


def _print_json(content: Any) -> None:
    from autodl._cli_output import plain

    print(json.dumps(plain(content), indent=2, default=str))
