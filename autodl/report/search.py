"""The search's part of the report: how good the answer is, how it was found, and every trial on the way."""

from __future__ import annotations

import html
import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodl.leaderboard import describe, model_name
from autodl.report._importance import importance
from autodl.report._knobs import MODEL, Knob, varied
from autodl.report._search_figures import beside_baselines, history, importances, parallel, scored, with_room_for_names
from autodl.report._table import Cell, Heading, Plain, figures, table
from autodl.report.modalities import modalities_section
from autodl.report.page import Fragment, Part, Plot, Section, Select, write_page

if TYPE_CHECKING:
    from autodl.predictor import Predictor
    from autodl.records import TrialRecord

MOST_ROWS = 1000
_FEWEST_OF_A_MODEL = 3  # trials that are worth axes of their own
_COLUMNS = {
    **{"rank": "rank", "number": "trial", "score": "score", "weight": "share", "what": "what", "state": "state"},
    **{"best_epoch": "best epoch", "epochs": "epochs", "seconds": "seconds", "parameters": "weights"},
    **{"source": "source", "model": "model"},
}  # of the leaderboard's rows, and what stands over them
_MINOR = {"epochs", "seconds", "parameters", "source", "model"}
_COSTS = {"cost": "cost", "front": "front"}
_NUMBERS = {"rank", "number", "score", "weight", "best_epoch", "epochs", "seconds", "parameters", "cost"}
_BASELINE = "baseline"  # source of trials that stand in the board to compare with


def write_report(predictor: Predictor, path: Path) -> int:
    """Write the search's part as a page of its own, and return its size in bytes.

    Raises:
        RunError: The page cannot be written.
    """
    targets = ", ".join(f"'{name}'" for name in predictor.task.targets)
    return write_page(path, f"The search for {targets}", search_sections(predictor), facts(predictor))


def facts(predictor: Predictor) -> dict[str, str]:
    """What stands under the title of a page about a predictor."""
    task, board = predictor.task, predictor.leaderboard
    found = {
        "Task": task.kind,
        "Judged by": f"{board.metric} ({'higher' if board.greater_is_better else 'lower'} is better)",
        "Trials": f"{len(board):,}",
        "Columns": f"{len(predictor.columns)} of {len(predictor.schema.columns)} used",
    }
    seconds, created = _summary(predictor).get("seconds"), predictor.facts.get("created")
    found |= {"Searched for": _duration(float(seconds))} if seconds is not None else {}
    return found | ({"Finished": str(created)[:16].replace("T", " ")} if created else {})


def search_sections(predictor: Predictor) -> list[Section]:
    """The sections of a search; every score is the leaderboard's own."""
    fusion = modalities_section(predictor)
    return [
        _result(predictor),
        *([fusion] if fusion is not None else []),
        _trials(predictor),
        _hyperparameters(predictor),
        _board(predictor),
        _failures(predictor),
    ]


def _result(predictor: Predictor) -> Section:
    board, summary = predictor.leaderboard, _summary(predictor)
    validation = predictor.scores.get("validation", {}).get(board.metric)
    values = {"ensemble": validation} if validation is not None and len(predictor.members) > 1 else {}
    if board.best is not None and board.best.score is not None:
        values["best trial"] = board.best.score
    baselines = {str(name): value for name, value in summary.get("baselines", {}).items() if value is not None}
    parts: list[Part] = [Fragment(_cards(predictor))]
    if values and baselines:
        figure = beside_baselines({**values, **baselines}, board)
        parts += [Plot.of(figure, half=True), Fragment(_scores(predictor), half=True)]
    else:
        parts.append(Fragment(_scores(predictor)))
    parts += [Fragment(_members(predictor)), Fragment(_making(predictor))]
    lead = "Test rows were touched once, after everything was chosen; their score is the one to rely on."
    return Section("Result", "result", parts, lead)


def _cards(predictor: Predictor) -> str:
    """The numbers that are looked for first."""
    board, summary = predictor.leaderboard, _summary(predictor)
    metric = board.metric
    cards: list[tuple[str, str, str]] = []
    if metric in predictor.scores.get("test", {}):
        among = summary.get("test_interval", {}).get(metric)
        said = f"95 % interval {figures(among[0])} to {figures(among[1])}" if among else ""
        cards.append((f"Test {metric}", figures(predictor.scores["test"][metric]), said))
    if metric in predictor.scores.get("validation", {}):
        cards.append((f"Validation {metric}", figures(predictor.scores["validation"][metric]), "what was chosen by"))
    if board.best is not None:
        cards.append(
            (
                f"Best trial, {metric}",
                figures(board.best.score),
                f"number {board.best.number}: {describe(board.best.config)}",
            )
        )
    held = summary.get("test_coverage")
    if held:
        what = "classes a set" if predictor.task.is_classification else "mean width"
        said = f"of test rows lie in intervals for {held['asked']:.0%}; {figures(float(held['size']))} {what}"
        cards.append(("Coverage", f"{held['measured']:.1%}", said))
    listed = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}<small>{html.escape(said)}</small></dd></div>"
        for name, value, said in cards
    )
    return f'<dl class="cards">{"".join(listed)}</dl>'


def _scores(predictor: Predictor) -> str:
    """Every metric, the one that steered first."""
    metric = predictor.leaderboard.metric
    parts = {name: values for name, values in predictor.scores.items() if values}
    intervals = _summary(predictor).get("test_interval", {})
    names = sorted({name for values in parts.values() for name in values}, key=lambda name: (name != metric, name))
    rows = []
    for name in names:
        among = intervals.get(name)
        told = f"{figures(among[0])} – {figures(among[1])}" if among else ""
        rows.append([name, *(values.get(name) for values in parts.values()), told])
    headings = [Heading("metric"), *(Heading(part, number=True) for part in parts), Heading("95 % of tests")]
    return table(headings, rows, "Scores", marked=[0])


def _members(predictor: Predictor) -> str:
    """Who predicts, and with which share."""
    scores = {row["number"]: row["score"] for row in predictor.leaderboard.rows()}
    largest = max((member.share for member in predictor.members), default=1.0)
    rows = [
        [
            Cell(member.number, str(member.number), href=f"trial-{member.number}"),
            Cell(member.share, f"{member.share:.1%}", share=member.share / largest),
            scores.get(member.number),
            describe(member.config),
        ]
        for member in sorted(predictor.members, key=lambda each: -each.share)
    ]
    headings = [
        Heading("trial"),
        Heading("share", number=True),
        Heading("score", number=True),
        Heading("what", wide=True),
    ]
    networks = f", {len(predictor.networks)} networks in all" if predictor.networks else ""
    return table(headings, rows, f"Who predicts ({len(rows)} of {len(predictor.leaderboard)} trials{networks})")


def _making(predictor: Predictor) -> str:
    """Notes, seed, versions and command: what it takes to do it again."""
    known = predictor.facts
    parts = ["<h3>How it was made</h3>"]
    seed = known.get("seed", _summary(predictor).get("seed"))
    notes = [*map(str, known.get("notes", ())), *([f"seed {seed}"] if seed is not None else [])]
    if notes:
        parts.append(f"<ul>{''.join(f'<li>{html.escape(note)}</li>' for note in notes)}</ul>")
    versions = {"python": known.get("python"), **known.get("versions", {})}
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    parts.append(f"<p>{html.escape(told)}</p>" if told else "")
    if known.get("command"):
        parts.append(
            f'<pre tabindex="0" aria-label="Command">{html.escape(shlex.join(map(str, known["command"])))}</pre>'
        )
    return "".join(parts)


def _trials(predictor: Predictor) -> Section:
    board = predictor.leaderboard
    states = Counter(record.state for record in board.records)
    lead = f"{len(board)} trials: " + ", ".join(f"{count} {state}" for state, count in states.most_common()) + "."
    ensemble = predictor.scores.get("validation", {}).get(board.metric) if len(predictor.members) > 1 else None
    parts: list[Part] = [Plot.of(history(board, ensemble))] if scored(board) else [_words("No trial has a score.")]
    return Section("Trials", "trials", parts, lead)


def _hyperparameters(predictor: Predictor) -> Section:
    board = predictor.leaderboard
    records = [record for record in scored(board) if record.source != _BASELINE]
    knobs = varied([record.config for record in records])
    found = importance(knobs, [float(record.score or 0.0) for record in records])
    parts: list[Part] = []
    if found.reason:
        parts.append(_words(f"Which of them the score hangs on is not said: {found.reason}."))
    else:
        headings = [Heading("hyperparameter"), *(Heading(name, number=True) for name in ("share", "5 %", "95 %"))]
        lines = zip(found.knobs, found.share, found.low, found.high, strict=True)
        numbers = table(headings, [[knob.path, *map(float, values)] for knob, *values in lines], "Importance")
        parts.append(Plot.of(importances(found), numbers))
    order = {knob.path: at for at, knob in enumerate(found.knobs or knobs)}
    models = Counter(model_name(record.config) for record in records)
    options = [
        (f"{model} ({count} trials)", [_axes(predictor, model, records, order)])
        for model, count in models.most_common()
        if count >= _FEWEST_OF_A_MODEL
    ]
    usable = [(name, [plot]) for name, (plot,) in options if plot is not None]
    parts += [Select("Model", usable)] if usable else []
    return Section(
        "Hyperparameters", "hyperparameters", parts, "Over the trials of the search itself, baselines aside."
    )


def _axes(predictor: Predictor, model: str, records: Sequence[TrialRecord], order: Mapping[str, int]) -> Plot | None:
    """Parallel axes of one model's trials; None where they do not differ."""
    own = [record for record in records if model_name(record.config) == model]
    knobs: list[Knob] = sorted(varied([each.config for each in own]), key=lambda knob: order.get(knob.path, len(order)))
    knobs = [knob for knob in knobs if knob.path != MODEL]
    if not knobs:
        return None
    figure = parallel(model, own, knobs, predictor.leaderboard)
    headings = [Heading("trial"), Heading("score", number=True), *(Heading(k.label, number=k.numeric) for k in knobs)]
    rows = [[str(each.number), each.score, *(k.values[at] for k in knobs)] for at, each in enumerate(own[:MOST_ROWS])]
    numbers = table(headings, rows, f"Hyperparameters of {model}", sortable=True)
    plot = Plot.of(figure, numbers, least_width=110 * (len(figure.data[0].dimensions) + 1))
    with_room_for_names(plot.figure)
    return plot


def _board(predictor: Predictor) -> Section:
    board = predictor.leaderboard
    rows = board.rows()
    two = any(row["cost"] is not None for row in rows)
    columns = {**_COLUMNS, **(_COSTS if two else {})}
    titles = [board.metric if key == "score" else title for key, title in columns.items()]
    headings = [
        Heading(title, number=key in _NUMBERS, wide=key == "what", minor=key in _MINOR)
        for key, title in zip(columns, titles, strict=True)
    ]
    lines = [[_told(key, row[key]) for key in columns] for row in rows[:MOST_ROWS]]
    members = [at for at, row in enumerate(rows[:MOST_ROWS]) if row["weight"]]
    ids = [f"trial-{row['number']}" for row in rows[:MOST_ROWS]]
    text = table(headings, lines, "Leaderboard", sortable=True, ids=ids, marked=members)
    more = (
        f" The best {MOST_ROWS:,} are shown; leaderboard.csv holds all {len(rows):,}." if len(rows) > MOST_ROWS else ""
    )
    lead = f"Every trial, best first; a heading sorts. Coloured rows are members of the ensemble.{more}"
    return Section("Leaderboard", "leaderboard", [Fragment(text)], lead)


def _told(key: str, value: Any) -> Cell | Plain:
    """A cell of the leaderboard."""
    if key == "weight":
        return Cell(value, f"{value:.1%}" if value else "–")
    return Cell(value, "*" if value else " ") if key == "front" else value


def _failures(predictor: Predictor) -> Section:
    failed = [record for record in predictor.leaderboard.records if record.state == "failed"]
    if not failed:
        return Section("Failures", "failures", [_words("No trial failed.")])
    which: defaultdict[str, list[int]] = defaultdict(list)
    for record in sorted(failed, key=lambda each: each.number):
        which[record.error or "no reason given"].append(record.number)
    rows: list[list[Plain]] = [[reason, len(found), ", ".join(map(str, found[:20]))] for reason, found in which.items()]
    rows.sort(key=lambda row: -len(which[str(row[0])]))
    headings = [Heading("reason", wide=True), Heading("trials", number=True), Heading("which", wide=True)]
    lead = f"{len(failed)} of {len(predictor.leaderboard)} trials failed; the search went on without them."
    return Section("Failures", "failures", [Fragment(table(headings, rows, "Reasons"))], lead)


def _words(text: str) -> Fragment:
    return Fragment(f"<p>{html.escape(text)}</p>")


def _summary(predictor: Predictor) -> Mapping[str, Any]:
    found: Mapping[str, Any] = predictor.facts.get("summary", {})
    return found


def _duration(seconds: float) -> str:
    """Seconds as 42 s, 3 min, 2 h 5 min."""
    if not math.isfinite(seconds) or seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
