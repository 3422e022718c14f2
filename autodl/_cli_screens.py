"""What a search shows first and last: plain lines that fit a terminal's width."""

from __future__ import annotations

import csv
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autodl.records import Column
from autodl.tuning.events import Finished, Started

LABEL = 12  # characters of the column that says what a line is about
_PLURALS = {"category": "categories"}
_LABELLED = ("task: ", "split: ")  # notes that have a line of their own


def opening(started: Started, width: int = 80) -> list[str]:
    """The first screen: what data, what task and why, columns by kind, split, device, budget."""
    task, rows = started.task, started.rows
    said = dict(note.split(": ", 1) for note in started.notes if note.startswith(_LABELLED))
    why = printable(said.get("task", task.kind))
    classes = f" ({_some(map(printable, map(str, task.classes)), 2 * width)})" if task.classes else ""
    counts = ", ".join(f"{rows[part]:,} {part}" for part in ("train", "validation", "test"))
    lines = _line("data", printable(nearby(started.source)), width)
    lines += _line("task", f"predict {_quoted(task.targets, width)}{classes}, judged by {task.metric}", width)
    lines += _line("", why, width)
    lines += _columns(started.schema, width)
    lines += _line("split", printable(rows.get("how") or counts), width)
    lines += _line("search", f"{started.knobs} hyperparameters on {started.device}, {budget(started)}", width)
    for note in started.notes:
        if not note.startswith((*_LABELLED, "left out: ")):
            lines += _line("note", printable(note), width)
    return [*lines, _label("run") + nearby(started.folder)]


def closing(finished: Finished, source: str, width: int = 80) -> list[str]:
    """The last screen: the best trials, scores, columns used, failures, and what to type next."""
    summary = finished.summary
    lines = ["", *_best(finished.folder, summary["metric"], width), *_scores(summary)]
    lines += [*_honesty(summary, width), *_failures(summary.get("failures", {}), width)]
    columns = [printable(name) for name in summary["columns"]]
    lines += _line("columns", f"{len(columns)} used: {_some(columns, 4 * width)}", width)
    ended = "stopped early" if summary["state"] == "stopped" else "done"
    lines += _line("trials", f"{counted(summary['trials'])}; {ended} after {duration(summary['seconds'])}", width)
    run = shlex.quote(nearby(finished.folder))
    data = "DATA" if source in ("", "frame") else shlex.quote(printable(nearby(source)))
    commands = (f"predict {run} {data} -o predictions.csv", f"evaluate {run} {data}", f"leaderboard {run}")
    lines.append(_label("run") + nearby(finished.folder))
    return lines + [_label("next" if at == 0 else "") + f"autodl {command}" for at, command in enumerate(commands)]


def outcome(finished: Finished) -> list[str]:
    """The last screen of a quiet search: how good, and where."""
    summary = finished.summary
    metric = summary["metric"]
    values = ", ".join(f"{part} {score(summary[part][metric])}" for part in ("test", "validation") if part in summary)
    return [f"{metric}: {values}", f"run: {nearby(finished.folder)}"]


def nearby(path: str | Path) -> str:
    """A path from where the user stands, if it lies below; a name that is no absolute path as it is."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def hang_up() -> None:
    """Send what is still printed nowhere: whoever read it has gone away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """The text without characters that a terminal would obey: they are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def score(value: float | None) -> str:
    """A score with four significant decimals, whatever its size."""
    if value is None or value != value:
        return "–"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def budget(started: Started) -> str:
    """How long and how many, in words."""
    until = []
    if started.deadline is not None:
        left = duration(started.deadline - time.time())
        until.append(f"{left} left, until {time.strftime('%H:%M:%S', time.localtime(started.deadline))}")
    if started.trials is not None:
        until.append(f"{started.trials} trials")
    return " or ".join(until) or "without a limit"


def counted(states: Mapping[str, int]) -> str:
    """Trials by what became of them: 12 complete · 30 pruned · 1 failed."""
    order = ("complete", "pruned", "stopped", "paused", "failed", "running")
    known = [(states[state], state) for state in order if states.get(state)]
    words = {"paused": "waiting", "running": "training"}
    return " · ".join(f"{count} {words.get(state, state)}" for count, state in known) or "none yet"


def _columns(schema: Iterable[Column], width: int) -> list[str]:
    """Columns by kind, then those left out and why."""
    kinds: dict[str, list[Column]] = {}
    for column in schema:
        kinds.setdefault(column.kind, []).append(column)
    left_out = kinds.pop("ignored", [])
    lines: list[str] = []
    for kind, columns in kinds.items():
        count = f"{len(columns)} {kind if len(columns) == 1 else _PLURALS.get(kind, f'{kind}s')}"
        listed = _some([printable(column.name) for column in columns], 2 * width)
        lines += _line("" if lines else "columns", f"{count}: {listed}", width)
    reasons: dict[str, list[str]] = {}
    for column in left_out:
        reasons.setdefault(column.reason, []).append(printable(column.name))
    for at, (reason, names) in enumerate(reasons.items()):
        lines += _line("" if at else "left out", f"{_some(names, width)} ({printable(reason)})", width)
    return lines


def _best(folder: Path, metric: str, width: int, limit: int = 5) -> list[str]:
    """The best trials of the run's leaderboard.csv."""
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for _, row in zip(range(limit), csv.DictReader(file), strict=False)]
    cells = [["rank", "trial", metric, "share", "epochs", "model"]]
    for row in rows:
        value = score(float(row["score"])) if row["score"] else "–"
        share = f"{float(row['weight']):.2f}" if float(row["weight"] or 0) else ""
        cells.append([row["rank"], row["number"], value, share, row["epochs"], printable(row["what"])])
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in aligned(cells, left={5})]


def _scores(summary: Mapping[str, Any]) -> list[str]:
    """Validation and test side by side, the metric that steered the search first."""
    metric = summary["metric"]
    parts = {part: summary[part] for part in ("validation", "test") if summary.get(part)}
    metrics = sorted({name for values in parts.values() for name in values}, key=lambda name: (name != metric, name))
    intervals = summary.get("test_interval", {})
    cells = [["score", *parts, *(["95 % of tests"] if intervals else [])]]
    for name in metrics:
        among = [" – ".join(map(score, intervals[name])) if name in intervals else ""] if intervals else []
        cells.append([name, *(score(values.get(name)) for values in parts.values()), *among])
    return ["", *aligned(cells, left={0}), ""]


def _honesty(summary: Mapping[str, Any], width: int) -> list[str]:
    """Baselines, inputs alone and fused, and whether intervals hold what they promise."""
    lines: list[str] = []
    if summary.get("baselines"):
        listed = " · ".join(f"{name} {score(value)}" for name, value in summary["baselines"].items())
        lines += _line("baselines", f"{listed} (validation {summary['metric']})", width)
    compared = [each for each in summary.get("compared") or [] if each["kind"] != "head"]
    if compared:
        metric = list(compared[0]["test"])[-1]
        listed = " · ".join(f"{each['name']} {score(each['test'][metric][0])}" for each in compared)
        lines += _line("inputs", f"{printable(listed)} (test {metric})", width)
    held = summary.get("test_coverage")
    if held:
        said = f"asked to hold {held['asked']:.0%} of the rows, they hold {held['measured']:.1%} of the test rows"
        lines += _line("intervals", f"{said}; mean size {score(held['size'])}", width)
    return lines


def _failures(reasons: Mapping[str, int], width: int) -> list[str]:
    """How many trials failed of what."""
    lines: list[str] = []
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        lines += _line("" if lines else "failed", f"{count} × {printable(reason)}", width)
    return lines


def aligned(cells: Sequence[Sequence[str]], left: Iterable[int] = ()) -> list[str]:
    """Rows of cells as lines with straight columns; numbers to the right, those in ``left`` to the left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    to_left = set(left)
    return [
        "  ".join(
            cell.ljust(size) if at in to_left else cell.rjust(size)
            for at, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _some(names: Iterable[str], room: int) -> str:
    """As many names as there is room for, and how many more there are."""
    listed = list(names)
    shown: list[str] = []
    for name in listed:
        if shown and len(", ".join([*shown, name])) > room:
            break
        shown.append(name if len(name) <= room else f"{name[: room - 1]}…")
    more = f", … {len(listed) - len(shown)} more" if len(shown) < len(listed) else ""
    return ", ".join(shown) + more


def _quoted(names: Iterable[str], room: int) -> str:
    return _some((f"'{printable(name)}'" for name in names), room)


def _label(text: str) -> str:
    return text.ljust(LABEL)


def _line(label: str, text: str, width: int) -> list[str]:
    """The text beside its label, wrapped below itself."""
    wrapped = textwrap.wrap(text, max(20, width - LABEL), break_on_hyphens=False) or [""]
    return [_label(label if at == 0 else "") + part for at, part in enumerate(wrapped)]
