"""Works out what a page on some predictions tells beside their explanation, within the time there is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from autodl.attribution import Players, Quantity, Question
from autodl.errors import AutoDLError, ExplanationError
from autodl.explaining.ask import ask, evaluate, few
from autodl.explaining.explanation import Explanation
from autodl.explaining.findings import Findings, Told, in_view
from autodl.explaining.model import explained_model, networks_in
from autodl.explaining.players import column_players, lumped
from autodl.explaining.quality import Measure, measure
from autodl.explaining.request import build
from autodl.explaining.subject import Subject, filled, reference_words
from autodl.explaining.threads import fastest_threads
from autodl.fitted import FittedMember

T = TypeVar("T")
SHOWN = 10
"""Rows that are told one by one."""
CURVES = 8
"""Columns whose curves are drawn: those that matter most."""
MEASURED_AT, SLACK = 256, 1.5  # rows by which the model's speed is told; what else an evaluation takes
MOST_QUALITY_ROWS, QUALITY_EVALUATIONS = 30, 600
LEAST_ROWS = 5
LATE = "the time was up; give more with --time"
SHORT = "there was no time for as many rows as it takes; give more with --time"
INTERACTING = 7
"""Columns whose interactions are told: those that matter most; all others count as one more."""
_SHARES = {
    "quality": 0.25,
    "influence": 0.1,
    "heat": 0.05,
    "counterfactual": 0.2,
    "permutation": 0.1,
    "interactions": 0.1,
    "curves": 0.2,
}


def find(subject: Subject, explanation: Explanation, seconds: float | None) -> Findings:
    """Work out what a page tells beside an explanation.

    Args:
        subject: What was explained.
        explanation: The explanation.
        seconds: Wall time for all of it; None for no limit.
    """
    question = explanation.question
    with fastest_threads(lambda: evaluate(question, few(question.background))):
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
        """Everything, in the order of what readers miss most; then what time was too short for, if some is left."""
        left = 1.0
        for name, share in _SHARES.items():
            self._try(name, share / left)
            left -= share
        for name in [name for name, reason in self.found.left_out.items() if reason in (LATE, SHORT)]:
            self._try(name, 1.0)
        return self.found

    def _try(self, name: str, share: float) -> None:
        """Work one thing out in a share of the time that is left, or note why not."""
        seconds = None if self.until is None else (self.until - time.monotonic()) * share
        try:
            if seconds is not None and seconds <= 0:
                raise ExplanationError(LATE)
            setattr(self.found, name, getattr(self, f"_{name}")(seconds))
            self.found.left_out.pop(name, None)
        except AutoDLError as error:
            self.found.left_out[name] = str(error)

    def _curves(self, seconds: float | None) -> Explanation | None:
        tables = {column for spec in self.question.specs.values() if len(spec.shape) == 1 for column in spec.columns}
        names = [name for name in self.explanation.importance().index if name in tables][:CURVES]
        if not names:
            return None
        question, known = self._by_columns()
        question = replace(question, players=lumped(question.players, names))
        points = 20
        most = self._affordable(seconds, (len(names) + 1) * points)
        if most < LEAST_ROWS:
            points, most = 8, self._affordable(seconds, (len(names) + 1) * 8)
        rows = self._some(most, 50)
        return self._asked(
            "partial_dependence", question, rows, known=known, seconds=seconds, settings={"points": points}
        )

    def _interactions(self, seconds: float | None) -> Explanation | None:
        """What pairs of the columns that matter most do beyond each alone: exact, with all other columns as one."""
        if self.explanation.attribution.interactions is not None or self.explanation.explainer != "shapley":
            return None
        columns = self._columns()
        if len(columns) < 2:
            return None
        names = [name for name in self.explanation.importance().index if name in columns.names][:INTERACTING]
        question = replace(self.question, players=lumped(columns, names))
        known = len(next(iter(question.background.values())))
        rows = self._some(self._affordable(seconds, known * 2 ** len(question.players)), 20)
        return self._asked("shapley", question, rows, seconds=seconds, settings={"interactions": True})

    def _permutation(self, seconds: float | None) -> Explanation:
        explainer = build("permutation_importance", {})
        question = replace(self.question, players=self._columns())
        labelled = self.subject.labelled(explainer, question, self.explanation.truth, self.explanation.quantity)
        most = self._affordable(seconds, 3 * len(question.players))
        self._enough(most, 2 * LEAST_ROWS)
        settings = {"rows": max(2, min(most, 500)), "repeats": 5}
        question = replace(question, labelled=labelled)
        return self._asked(
            "permutation_importance", question, np.arange(len(question)), seconds=seconds, settings=settings
        )

    def _counterfactual(self, seconds: float | None) -> Told:
        question, known = self._by_columns()
        settings = {} if self.subject.task.is_classification else {"desired": "either"}
        return self._told("counterfactual", question, self.found.shown, known=known, seconds=seconds, settings=settings)

    def _influence(self, seconds: float | None) -> Told:
        question, known = self.question, self.subject.evidence.frame
        notes: tuple[str, ...] = ()
        if not isinstance(question.model, nn.Module):
            members = self._networks()
            if not members:
                raise ExplanationError("no member of the predictor is a network, and others have no gradient")
            question, notes = self._of_networks(members[0], self.explanation.quantity)
        explainer = build("influence", {})
        labelled = self.subject.labelled(explainer, question, None, self.explanation.quantity)
        question = replace(question, labelled=labelled)
        told = self._told(
            "influence", question, self.found.shown, known=known[self.subject.columns], seconds=seconds, settings={}
        )
        return told.noted(notes, self.explanation.quantity)

    def _heat(self, seconds: float | None) -> Told | None:
        if not any(len(spec.shape) == 3 for spec in self.question.specs.values()):
            return None
        there = ~torch.stack([x.flatten(1).isnan().any(1) for x in self.question.inputs.values()]).any(0)
        rows = np.array([row for row in self.found.shown if bool(there[row])], dtype=int)
        whole = [None] if isinstance(self.question.model, nn.Module) else []
        refusal = ExplanationError("no member of the predictor is a network")
        for member in [*whole, *self._networks()]:  # where one member has no maps, another may
            question, notes = self._of_networks(member, "score")
            try:
                told = self._told("grad_cam", question, rows, seconds=seconds, settings={})
            except ExplanationError as error:
                refusal = error
            else:
                return told.noted(notes, "score")
        raise refusal

    def _quality(self, seconds: float | None) -> list[Measure]:
        most = self._affordable(seconds, QUALITY_EVALUATIONS)
        rows = torch.as_tensor(self._some(most, MOST_QUALITY_ROWS))
        whole = self.explanation.attribution
        if len(whole.values) != len(self.question) or not whole.values.shape[1]:
            raise ExplanationError(f"{self.explanation.explainer} gives no row shares of its own")
        question = replace(self.question.at(rows), target=whole.target)
        return measure(question, whole.at(rows), seed=self.question.seed)

    def _told(self, name: str, question: Question, rows: np.ndarray, *, seconds: float | None, **wanted: Any) -> Told:
        """``_asked`` about each row, for the output that the row is told of."""
        self._enough(len(rows), 1)
        said = np.array([in_view(self.explanation, int(row)) for row in rows])
        parts = {}
        for output in np.unique(said):
            mine = rows[said == output]
            share = None if seconds is None else seconds * len(mine) / len(rows)
            parts[int(output)] = self._asked(name, question, mine, seconds=share, outputs=[int(output)], **wanted), mine
        return Told(parts)

    def _asked(
        self,
        name: str,
        question: Question,
        rows: np.ndarray,
        *,
        known: pd.DataFrame | None = None,
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
        views, specs = self.subject.known, self.question.specs
        known = {key: filled(views[key], specs[key].baseline) for key in self.question.names}
        frame = self.subject.evidence.frame[self.subject.columns]
        return replace(self.question, background=known, players=self._columns()), frame

    def _columns(self) -> Players:
        return column_players(self.question.specs, self.subject.columns)

    def _networks(self) -> list[FittedMember]:
        """Members that are networks, those that count most first."""
        members = [member for member in self.subject.ensemble.members if not member.config.estimator]
        return sorted(members, key=lambda member: -member.share)

    def _of_networks(self, member: FittedMember | None, quantity: Quantity) -> tuple[Question, tuple[str, ...]]:
        """The same question of one trial of networks alone, or of all where no trial is named, about a quantity."""
        subject, question = self.subject, self.question
        number = None if member is None else member.number
        model = explained_model(subject.ensemble, subject.calibration, quantity, number)
        keys = question.names if member is None else sorted(member.keys.values())
        about = replace(
            question,
            model=model,
            networks=networks_in(model),
            inputs=_only(question.inputs, keys),
            specs=_only(question.specs, keys),
            background=_only(question.background, keys),
            baseline=_only(question.baseline, keys),
            players=replace(question.players, index=_only(question.players.index, keys)),
        )
        notes = () if member is None else (f"Of trial {number} alone, which has {member.share:.0%} of the predictor.",)
        return about, notes

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
            raise ExplanationError(SHORT)

    def _some(self, affordable: int, most: int) -> np.ndarray:
        """Positions of some rows, spread evenly."""
        self._enough(affordable, min(LEAST_ROWS, len(self.question)))
        count = min(affordable, most, len(self.question))
        return np.unique(np.linspace(0, len(self.question) - 1, count).round().astype(int))


def _only(parts: Mapping[str, T], keys: Sequence[str]) -> dict[str, T]:
    return {key: parts[key] for key in keys}
