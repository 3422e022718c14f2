"""From a fitted ensemble and rows of a table to questions, and to the explanation that answers one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autodl.attribution import Labelled, Players, Quantity, Question
from autodl.calibration import Calibration
from autodl.contracts import Explainer, Inputs
from autodl.data.targets import missing_targets
from autodl.errors import ExplanationError, unknown_name
from autodl.explaining.ask import ask, evaluate, few, within_time
from autodl.explaining.evidence import Evidence
from autodl.explaining.explanation import Explanation
from autodl.explaining.model import explained_model, natural_quantity, networks_in, output_names
from autodl.explaining.players import (
    Division,
    PartKind,
    column_players,
    input_players,
    part_kind,
    part_players,
    segment_players,
)
from autodl.explaining.request import (
    AUTO,
    PlayerKind,
    Request,
    build,
    chosen_rows,
    first_focus,
    loss_of,
    positions,
)
from autodl.explaining.threads import fastest_threads
from autodl.fitted import FittedEnsemble
from autodl.records import InputSpec, Schema, Task, column_names

MOST_BACKGROUND = 32
SAMPLERS = {"evaluations", "kernel_width"}
"""Settings of methods that sample coalitions of players, each of which is asked of every background row."""
FEWEST_BACKGROUND = 4
COALITIONS_A_PLAYER, FEWEST_COALITIONS = 4, 64
"""What a sampled Shapley value wants before a longer background is worth its time."""
EMPTY: dict[PartKind | None, str] = {"text": "texts without words", "sound": "the mean sound"}
"""What is left where all parts are taken away."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is explained: a predictor's parts.

    Attributes:
        ensemble: What predicts.
        calibration: Of its probabilities.
        task: What is predicted.
        schema: The columns.
        evidence: Training rows to compare with.
    """

    ensemble: FittedEnsemble
    calibration: Calibration
    task: Task
    schema: Schema
    evidence: Evidence

    def explain(
        self, frame: pd.DataFrame, truth: np.ndarray | None, request: Request, rows: int | Sequence[int] | None = None
    ) -> Explanation:
        """Explain the predictions of some rows.

        Args:
            frame: Rows as ``autodl.data`` casts them.
            truth: Their targets, where they have some.
            request: What is wanted.
            rows: As ``chosen_rows`` takes them.

        Raises:
            ExplanationError: The answer would mislead, or the question makes no sense.
            UnknownNameError: No explainer, setting or output is called so.
        """
        started = time.monotonic()
        chosen = chosen_rows(rows, len(frame))
        frame, truth = frame.iloc[chosen], None if truth is None else truth[chosen]
        quantity = request.quantity or natural_quantity(self.task)
        explainer = build(AUTO if request.explainer == "auto" else request.explainer, request.settings)
        names = output_names(self.task)
        targets = positions(names, request.outputs)
        if not explainer.local and request.players == "auto":
            request = replace(request, players="columns")  # what all rows are told together is no row's own segments
        question = self.question(frame, request)
        with fastest_threads(lambda: evaluate(question, few(question.background))):
            known = self._background(question, request, explainer)
            emptied = _emptied(question) if explainer.reference == "background" else set()
            question = replace(question, background=_chosen(question, known, emptied))
            if any(need == "labelled" for need in explainer.needs):
                question = replace(question, labelled=self.labelled(explainer, question, truth, quantity))
            found = ask(explainer, question, targets, force=request.force)
        return Explanation(
            attributions=tuple(found),
            outputs=tuple(names[target] for target in targets),
            question=question,
            rows=frame[self.columns],
            background=self._shown(known, emptied),
            quantity=quantity,
            target=self.task.target,
            baseline_words=reference_words(explainer, len(known), question),
            truth=truth,
            classes=names if self.task.is_classification else (),
            settings=explainer.settings,
            seconds=time.monotonic() - started,
            focus=first_focus(self.task, targets, [each.output for each in found]),
        )

    @cached_property
    def known(self) -> dict[str, Tensor]:
        """The training rows that are kept, as members see them."""
        return self.ensemble.views(self.evidence.frame)[0]

    @property
    def columns(self) -> list[str]:
        """The columns that a view reads, in the table's order."""
        read = {column for spec in self.ensemble.specs.values() for column in spec.columns}
        return [name for name in column_names(self.schema.columns) if name in read]

    def question(self, frame: pd.DataFrame, request: Request) -> Question:
        """Return what an explainer is asked, but for the output; all kept training rows are its background."""
        if not len(frame):
            raise ExplanationError("there must be rows to explain, however none came; name a table with rows")
        quantity = request.quantity or natural_quantity(self.task)
        if quantity != "score" and quantity != natural_quantity(self.task):
            raise ExplanationError(
                f"what is explained of this task must be '{natural_quantity(self.task)}' or 'score', however "
                f"'{quantity}' came; take one of them"
            )
        model = explained_model(self.ensemble, self.calibration, quantity, request.trial)
        keys = self._keys(request.trial)
        specs = {key: self.ensemble.specs[key] for key in keys}
        inputs = self._views_of(frame, keys)
        known = {key: filled(self.known[key], specs[key].baseline) for key in keys}
        return Question(
            model=model,
            inputs=inputs,
            target=0,
            specs=specs,
            players=self._players(request, specs, frame, inputs),
            background=known,
            baseline={key: spec.baseline.unsqueeze(0).to(inputs[key]) for key, spec in specs.items()},
            networks=networks_in(model),
            seed=request.seed,
            memory=request.memory,
            seconds=request.seconds,
            concepts={name: self._views_of(shown, keys) for name, shown in request.concepts.items()},
        )

    def labelled(
        self, explainer: Explainer, question: Question, truth: np.ndarray | None, quantity: Quantity
    ) -> Labelled:
        """Rows with targets: training rows for methods that answer about single rows, else the rows themselves.

        Raises:
            ExplanationError: The rows have no targets.
        """
        loss = loss_of(self.task, quantity)
        if explainer.local:
            inputs = {key: self.known[key] for key in question.names}
            return Labelled(inputs, self._goal(self.evidence.targets), loss)
        known = None if truth is None else ~missing_targets(truth)
        if truth is None or known is None or not known.any():
            raise ExplanationError(
                f"the rows must have the target '{self.task.target}' to tell what errors rest on, however they have "
                "not; name a table that has it"
            )
        rows = torch.as_tensor(np.flatnonzero(known))
        return Labelled({key: x[rows] for key, x in question.inputs.items()}, self._goal(truth[known]), loss)

    def _views_of(self, frame: pd.DataFrame, keys: Sequence[str]) -> dict[str, Tensor]:
        views, _ = self.ensemble.views(frame)
        return {key: views[key] for key in keys}

    def _goal(self, targets: np.ndarray) -> Tensor:
        return torch.as_tensor(targets, dtype=torch.int64 if self.task.is_classification else torch.float32)

    def _keys(self, trial: int | None) -> list[str]:
        members = [each for each in self.ensemble.members if trial is None or each.number == trial]
        return sorted({key for member in members for key in member.keys.values()})

    def _players(
        self, request: Request, specs: Mapping[str, InputSpec], frame: pd.DataFrame, inputs: Inputs
    ) -> Players:
        order, wanted = column_names(self.schema.columns), request.players
        if wanted not in get_args(PlayerKind):
            raise unknown_name("kind of players", wanted, get_args(PlayerKind))
        if wanted == "auto":
            wanted = "parts" if any(part_kind(spec) for spec in specs.values()) else "columns"
        if wanted == "inputs":
            named = {key: name for member in self.ensemble.members for name, key in member.keys.items()}
            return input_players(specs, {key: named[key] for key in specs})
        if wanted == "segments":
            return segment_players(specs, inputs, order)
        if wanted == "columns":
            return column_players(specs, order)
        if not any(part_kind(spec) for spec in specs.values()):
            raise ExplanationError(
                f"{wanted} must be those of an image, a text or a sound, however there is no such column; take columns"
            )
        cells = {column: frame[column].tolist() for column in frame.columns}
        division = Division(cells=cells, views=self.ensemble.modalities, frequencies=3 if wanted == "bands" else 1)
        return part_players(specs, inputs, order, division)

    def _shown(self, rows: np.ndarray, emptied: Collection[str]) -> pd.DataFrame:
        """Background rows as the user wrote them, without the cells that are not compared with."""
        found = self.evidence.frame[self.columns].iloc[rows]
        return found.assign(**{column: None for key in emptied for column in self.ensemble.specs[key].columns})

    def _background(self, question: Question, request: Request, explainer: Explainer) -> np.ndarray:
        """Positions of training rows that are spread evenly over the predictions.

        Methods that ask the model about samples of players ask about each background row, and so get as many as time
        bears. Too few would be an arbitrary place to start from: then their mean stands for nothing known. So it does
        where nothing of a background row would be looked at.
        """
        if explainer.reference == "background" and _emptied(question) == set(question.names):
            return np.arange(0)
        sampling = bool(explainer.space.keys() & SAMPLERS)
        places, per_row = within_time(question, request.seconds)
        rows = {name: x[torch.as_tensor(places)] for name, x in question.background.items()}
        told = evaluate(question, rows).double().cpu().numpy()
        count = request.background or (MOST_BACKGROUND if sampling else len(told))
        if sampling and request.background is None and request.seconds is not None:
            players = len(question.players)
            wanted = max(COALITIONS_A_PLAYER * players, FEWEST_COALITIONS)
            wanted = (min(wanted, 2**players) if players < 20 else wanted) * len(question)
            affordable = int(request.seconds / max(per_row, 1e-9) / wanted)
            if affordable < FEWEST_BACKGROUND:
                return np.arange(0)
            count = 2 ** int(np.log2(min(count, affordable)))  # a little noise in the timing shall change nothing
        count = min(count, len(told))
        order = np.lexsort((told.max(1), told.argmax(1)))
        return np.sort(places[order[((np.arange(count) + 0.5) * len(told) / count).astype(int)]])


def _chosen(question: Question, rows: np.ndarray, emptied: Collection[str]) -> Mapping[str, Tensor]:
    """Some of the background rows, the baseline in some of their inputs; without any the one row of baselines."""
    if not len(rows):
        return question.baseline
    known = {name: x[torch.as_tensor(rows)] for name, x in question.background.items()}
    return {name: question.baseline[name].expand_as(x).clone() if name in emptied else x for name, x in known.items()}


def _emptied(question: Question) -> set[str]:
    """Texts and sounds that are divided: what is absent of them is taken away, not replaced by another row's.

    The words of one text in the places of another's are no text, and a moment of one sound inside another is no sound;
    a text without some of its words still is one, and so is a sound with the mean spectrum for a while.
    """
    names, specs = question.players.names, question.specs
    parted = {
        name
        for name in question.names
        if names[int(question.players.index[name].flatten()[0])] not in specs[name].columns
    }
    return {name for name in parted if part_kind(specs[name]) in EMPTY} if question.players.own else set()


def filled(x: Tensor, baseline: Tensor) -> Tensor:
    """Rows without gaps: what is missing is what nothing known looks like."""
    return torch.where(x.isnan(), baseline.to(x), x)


def reference_words(explainer: Explainer, count: int, question: Question | None = None) -> str:
    """What the values compare with, in words."""
    if explainer.reference == "nothing":
        return "nothing"
    kinds = {None} if question is None else {part_kind(spec) for spec in question.specs.values()}
    if explainer.reference == "baseline" or not count:
        return (
            " and ".join(EMPTY[kind] for kind in EMPTY if kind in kinds)
            if kinds <= set(EMPTY)
            else "the mean training row"
        )
    emptied = {part_kind(question.specs[name]) for name in _emptied(question)} if question is not None else set()
    said = "".join(f", {EMPTY[kind]}" for kind in EMPTY if kind in emptied)
    return f"{count} training row{'s' if count > 1 else ''}{said}"
