"""The commands ``explain`` and ``report``: pages and numbers of explanations and searches."""

from __future__ import annotations

import ast
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodl.errors import AutoDLError

if TYPE_CHECKING:
    from autodl.explaining.findings import Findings
    from autodl.predictor import Predictor

USUAL_SECONDS = 10.0
USUAL_ROWS = 100
FOR_THE_PAGE = 4.0
"""Seconds that are kept back for drawing and writing."""
FOR_THE_VALUES = 0.5
"""Share of the time that is left which the explanation itself gets."""
_SAID = ("explainer", "background", "quantity", "trial", "seed", "players")


def explain(options: Namespace, started: float) -> dict[str, Any]:
    """Explain some rows, write the page, and return what was done, for ``--json``."""
    from autodl import load
    from autodl._cli_output import check_output
    from autodl._cli_values import seconds

    until = started + (USUAL_SECONDS if options.time is None else seconds(options.time))
    page = check_output(options.output or str(Path(options.run) / "explanation.html"))
    table = None if options.csv is None else check_output(options.csv)
    if options.png is not None:
        _check_pictures()
    predictor = load(options.run, device=options.device or "auto")
    findings = found(predictor, options, until)
    explanation = findings.explanation
    from autodl.report.explained import figures, write_explanation

    size = write_explanation(predictor, findings, page)
    done: dict[str, Any] = {"page": str(page), "bytes": size, "left_out": findings.left_out}
    if table is not None:
        from autodl.storage import write_file

        write_file(table, explanation.to_csv().encode("utf-8", "backslashreplace"))
        done["csv"] = str(table)
    if options.png is not None:
        done["png"] = _write_pictures(figures(findings), Path(options.png))
    done["seconds"] = round(time.time() - started, 2)
    return {**explanation.to_json(), **done} if options.json else {**done, "summary": explanation.summary()}


def found(predictor: Predictor, options: Namespace, until: float) -> Findings:
    """The explanation that is asked for, and all that stands beside it, by a point in time."""
    from autodl.explaining.finding import find

    wanted = {name: getattr(options, name) for name in _SAID if getattr(options, name) is not None}
    left = max(until - FOR_THE_PAGE - time.time(), 0.1)
    explanation = predictor.explain(
        options.data,
        rows=USUAL_ROWS if options.rows is None else options.rows,
        root=options.root,
        settings=settings(options.settings or ()),
        seconds=left * FOR_THE_VALUES,
        force=options.force,
        **wanted,
    )
    if options.of is not None:
        explanation = explanation.of(options.of)
    return find(predictor.subject, explanation, max(until - FOR_THE_PAGE - time.time(), 0.1))


def report(options: Namespace) -> dict[str, Any]:
    """Write the search's page."""
    from autodl import load
    from autodl._cli_output import check_output
    from autodl.report.search import write_report

    started = time.time()
    page = check_output(options.output or str(Path(options.run) / "report.html"))
    size = write_report(load(options.run, device="cpu"), page)
    return {"page": str(page), "bytes": size, "seconds": round(time.time() - started, 2)}


def settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the settings of NAME=VALUE pairs: numbers, true and false as such, all else as words.

    Raises:
        AutoDLError: A pair has no "=", or no name.
    """
    read = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise AutoDLError(f"--set must be NAME=VALUE, however '{pair}' came; write for example --set steps=100")
        read[name.strip()] = _value(value.strip())
    return read


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return found if isinstance(found, bool | int | float | str) else text


def _check_pictures() -> None:
    import importlib.util

    if importlib.util.find_spec("kaleido") is None:
        raise AutoDLError(
            "--png needs the extra png, however kaleido is not installed; pip install -c constraints.txt '.[png]'"
        )


def _write_pictures(pictures: Mapping[str, Any], folder: Path) -> list[str]:
    """PNG files by one browser.

    Raises:
        AutoDLError: There is no browser, or the folder cannot be written.
    """
    import plotly.io

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.png" for name in pictures]
    try:
        plotly.io.write_images(list(pictures.values()), files, scale=2)
    except RuntimeError as error:
        reason = str(error).split("\n")[0].strip() or "no browser answers"
        raise AutoDLError(
            f"--png needs Chrome or Chromium to draw with, however: {reason}; install one, such as the package chromium"
        ) from error
    return [str(file) for file in files]
