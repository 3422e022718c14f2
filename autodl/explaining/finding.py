"""Works out what a page on some predictions tells beside their explanation, within the time there is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from autodl import registry
from autodl.attribution import Attribution, Players, Question
from autodl.errors import AutoDLError
from autodl.explaining.ask import ask, evaluate
from autodl.explaining.explanation import Explanation
from autodl.explaining.findings import OTHERS, Findings, Told, in_view
from autodl.explaining.model import explained_model, networks_in
from autodl.explaining.players import column_players
from autodl.explaining.quality import Measure, measure
from autodl.explaining.request import build
from autodl.explaining.subject import Subject, filled, reference_words

T = TypeVar("T")
SHOWN = 10
"""Rows that are told one by one."""
CURVES = 8
"""Columns whose curves are drawn: those that matter most."""
MEASURED_AT, SLACK = 256, 1.5  # rows by which the model's speed is told; what else an evaluation takes
MOST_QUALITY_ROWS, QUALITY_EVALUATIONS = 30, 600
LEAST_ROWS = 5
_SHARES = {"quality": 0.3, "influence": 0.1, "heat": 0.05, "counterfactual": 0.2, "permutation": 0.15, "curves": 0.2}


def find(subject: Subject, explanation: Explanation, seconds: float | None) -> Findings:
    """Work out what a page tells beside an explanation.

    Args:
        subject: What was explained.
        explanation: The explanation.
        seconds: Wall time for all of it; None for no limit.
    """
    return _Search(subject, explanation, seconds).run()


class _Search:
    """Asks one method after the other, each with its share of the time that is left."""

    def __init__(self, subject: Subject, explanation: Explanation, seconds: float | None) -> None:
        self.subject, self.explanation, self.question = subject, explanation, explanation.question
        self.until = None if seconds is None else time.monotonic() + seconds
        count = len(explanation)
        shown = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
        self.found = Findings(explanation, shown)
        self.cost = self._cost()

    def run(self) -> Findings:
        """Everything, in the order of what readers miss most."""
        left = 1.0
        for name, share in _SHARES.items():
            seconds = None if self.until is None else (self.until - time.monotonic()) * share / left
            left -= share
            try:
                if seconds is not None and seconds <= 0:
                    raise AutoDLError("the time was up; give more with --time")
                setattr(self.found, name, getattr(self, f"_{name}")(seconds))
            except AutoDLError as error:
                self.found.left_out[name] = str(error)
        return self.found

    def _curves(self, seconds: float | None) -> Explanation:
        names = list(self.explanation.importance().index[:CURVES])
        question, known = self._by_columns()
        names = [name for name in names if name in question.players.names] or list(question.players.names)[:CURVES]
        question = replace(question, players=_lumped(question.players, names))
        points = 20
        most = self._affordable(seconds, (len(names) + 1) * points)
        if most < LEAST_ROWS:
            points, most = 8, self._affordable(seconds, (len(names) + 1) * 8)
        rows = self._some(most, 50)
        return self._asked("partial_dependence", question, rows, known, seconds, {"points": points})

    def _permutation(self, seconds: float | None) -> Explanation:
        explainer = registry.explainers.load("permutation_importance")
        question = replace(self.question, players=self._columns())
        labelled = self.subject.labelled(explainer(), question, self.explanation.truth, self.explanation.quantity)
        most = self._affordable(seconds, 3 * len(question.players))
        self._enough(most, 2 * LEAST_ROWS)
        settings = {"rows": max(2, min(most, 500)), "repeats": 5}
        question = replace(question, labelled=labelled)
        return self._asked("permutation_importance", question, np.arange(len(question)), None, seconds, settings)

    def _counterfactual(self, seconds: float | None) -> Told:
        question, known = self._by_columns()
        settings = {} if self.subject.task.is_classification else {"desired": "either"}
        return self._told("counterfactual", question, self.found.shown, known, seconds, settings)

    def _influence(self, seconds: float | None) -> Told:
        question, known = self.question, self.subject.evidence.frame
        notes: tuple[str, ...] = ()
        if not isinstance(question.model, nn.Module):
            question, notes = self._one_network()
        explainer = build("influence", {})
        labelled = self.subject.labelled(explainer, question, None, self.explanation.quantity)
        question = replace(question, labelled=labelled)
        told = self._told("influence", question, self.found.shown, known[self.subject.columns], seconds, {})
        return Told({output: (_noted(found, notes), rows) for output, (found, rows) in told.parts.items()})

    def _heat(self, seconds: float | None) -> Told | None:
        if not any(len(spec.shape) == 3 for spec in self.question.specs.values()):
            return None
        question = self.question
        if not isinstance(question.model, nn.Module):
            question, _ = self._one_network()
        there = ~torch.stack([x.flatten(1).isnan().any(1) for x in question.inputs.values()]).any(0)
        rows = np.array([row for row in self.found.shown if bool(there[row])], dtype=int)
        return self._told("grad_cam", question, rows, None, seconds, {})

    def _quality(self, seconds: float | None) -> list[Measure]:
        most = self._affordable(seconds, QUALITY_EVALUATIONS)
        self._enough(most, 2)
        rows = torch.as_tensor(self._some(most, MOST_QUALITY_ROWS))
        whole = self.explanation.attribution
        question = replace(self.question.at(rows), target=whole.target)
        return measure(question, _rows_of(whole, rows), seed=self.question.seed)

    def _told(
        self,
        name: str,
        question: Question,
        rows: np.ndarray,
        known: pd.DataFrame | None,
        seconds: float | None,
        settings: Mapping[str, Any],
    ) -> Told:
        """One method's answer about each row, for the output that the row is told of."""
        self._enough(len(rows), 1)
        said = np.array([in_view(self.explanation, int(row)) for row in rows])
        parts = {}
        for output in np.unique(said):
            mine = rows[said == output]
            share = None if seconds is None else seconds * len(mine) / len(rows)
            parts[int(output)] = self._asked(name, question, mine, known, share, settings, [int(output)]), mine
        return Told(parts)

    def _asked(
        self,
        name: str,
        question: Question,
        rows: np.ndarray,
        known: pd.DataFrame | None,
        seconds: float | None,
        settings: Mapping[str, Any],
        outputs: Sequence[int] | None = None,
    ) -> Explanation:
        """One method's answer about some rows, for some of the outputs that are explained, or all."""
        self._enough(len(rows), 1)
        started = time.monotonic()
        explainer = build(name, settings)
        asked = replace(question.at(torch.as_tensor(rows)), seconds=seconds)
        whole = self.explanation
        outputs = range(len(whole.outputs)) if outputs is None else outputs
        found = ask(explainer, asked, [whole.attributions[each].target for each in outputs])
        truth = self.explanation.truth
        return replace(
            self.explanation,
            attributions=tuple(found),
            outputs=tuple(whole.outputs[each] for each in outputs),
            focus=0 if len(found) < len(whole.outputs) else whole.focus,
            question=asked,
            rows=self.explanation.rows.iloc[rows],
            background=self.explanation.background if known is None else known,
            baseline_words=reference_words(explainer, len(self.explanation.background if known is None else known)),
            truth=None if truth is None else truth[rows],
            settings=explainer.settings,
            seconds=time.monotonic() - started,
        )

    def _by_columns(self) -> tuple[Question, pd.DataFrame]:
        """The question with columns as players, against all training rows that are kept."""
        views, _ = self.subject.ensemble.views(self.subject.evidence.frame)
        specs = self.question.specs
        known = {key: filled(views[key], specs[key].baseline) for key in self.question.names}
        frame = self.subject.evidence.frame[self.subject.columns]
        return replace(self.question, background=known, players=self._columns()), frame

    def _columns(self) -> Players:
        return column_players(self.question.specs, self.subject.columns)

    def _one_network(self) -> tuple[Question, tuple[str, ...]]:
        """The same question of the one trial of networks that counts most, where not all members are networks."""
        members = [member for member in self.subject.ensemble.members if not member.config.estimator]
        if not members:
            raise AutoDLError("no member of the predictor is a network, and others have no gradient")
        best = max(members, key=lambda member: member.share)
        subject = self.subject
        model = explained_model(subject.ensemble, subject.calibration, self.explanation.quantity, best.number)
        keys = sorted(best.keys.values())
        question = replace(
            self.question,
            model=model,
            networks=networks_in(model),
            inputs=_only(self.question.inputs, keys),
            specs=_only(self.question.specs, keys),
            background=_only(self.question.background, keys),
            baseline=_only(self.question.baseline, keys),
            players=replace(self.question.players, index=_only(self.question.players.index, keys)),
        )
        return question, (f"Of trial {best.number} alone, which has {best.share:.0%} of the predictor.",)

    def _cost(self) -> float:
        """Seconds that a row takes to be predicted, among many."""
        count = -(-MEASURED_AT // len(self.question))
        many = {name: x.repeat(count, *[1] * (x.dim() - 1))[:MEASURED_AT] for name, x in self.question.inputs.items()}
        started = time.monotonic()
        evaluate(self.question, many)
        return SLACK * (time.monotonic() - started) / MEASURED_AT

    def _affordable(self, seconds: float | None, evaluations: int) -> int:
        """Rows for which there is time, at so many evaluations each."""
        return 10**9 if seconds is None else int(seconds / (self.cost * evaluations))

    def _enough(self, rows: int, least: int) -> None:
        if rows < least:
            raise AutoDLError("there was no time for as many rows as it takes; give more with --time")

    def _some(self, affordable: int, most: int) -> np.ndarray:
        """Positions of some rows, spread evenly."""
        self._enough(affordable, min(LEAST_ROWS, len(self.question)))
        count = min(affordable, most, len(self.question))
        return np.unique(np.linspace(0, len(self.question) - 1, count).round().astype(int))


def _noted(found: Explanation, notes: tuple[str, ...]) -> Explanation:
    told = tuple(replace(each, notes=(*each.notes, *notes)) for each in found.attributions)
    return replace(found, attributions=told)


def _lumped(players: Players, names: Sequence[str]) -> Players:
    """The named players, in their order; all others are one."""
    kept = [name for name in players.names if name in names]
    place = torch.tensor([kept.index(name) if name in kept else len(kept) for name in players.names])
    several = len(kept) < len(players)
    index = {key: place[each] for key, each in players.index.items()}
    return Players((*kept, *([OTHERS] if several else [])), index, players.own)


def _only(parts: Mapping[str, T], keys: Sequence[str]) -> dict[str, T]:
    return {key: parts[key] for key in keys}


def _rows_of(found: Attribution, rows: Tensor) -> Attribution:
    """The same answer about some of its rows."""

    def cut(value: Tensor | None) -> Tensor | None:
        return None if value is None or value.dim() == 0 else value[rows]

    assert found.output is not None
    return replace(
        found,
        values=found.values[rows],
        base=found.base if found.base.dim() == 0 else found.base[rows],
        entries=None if found.entries is None else {name: each[rows] for name, each in found.entries.items()},
        standard_error=cut(found.standard_error),
        interactions=cut(found.interactions),
        output=found.output[rows],
        completeness_gap=cut(found.completeness_gap),
    )
