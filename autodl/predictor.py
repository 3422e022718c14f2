"""The fitted bundle: an ensemble of networks that predicts, is judged, saved and loaded."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from autodl import own, storage
from autodl.contracts import Modality
from autodl.data.dataset import load_rows
from autodl.errors import DataError, PredictorError
from autodl.fitted import (
    FittedMember,
    check_requirements,
    member_from_content,
    member_to_content,
    modality_from_content,
    modality_to_content,
    requirements,
)
from autodl.leaderboard import Leaderboard, describe
from autodl.metrics import METRICS, get_metric
from autodl.network import Network, kept_columns
from autodl.records import Column, InputSpec, Schema, Stored, Task
from autodl.training.data import ENTRIES_PER_CHUNK, Rows, TrainingData, predictions, spec_on
from autodl.training.device import resolve_device

NAME = "predictor"


@dataclass(eq=False)
class Predictor:
    """What a search ends with.

    Attributes:
        task: What is predicted.
        schema: The columns of the table that it was fitted on.
        members: The networks, each with its share; those without a share are left out.
        modalities: Fitted modalities by ``autodl.fitted.modality_key``.
        specs: What each of these emits, by the same key.
        leaderboard: Every trial of the search.
        scores: Metric name → value, for ``validation`` (where members were chosen) and ``test`` (touched once).
        facts: Versions, command, seconds, seed, notes: whatever is worth knowing, as JSON values.
        root: Where relative paths in a frame's cells start; a file's start at its folder.
        rows_per_batch: Rows read and predicted at once; None takes as many as a few hundred megabytes bear.

    Example:
        >>> predictor = autodl.load("runs/churn")  # doctest: +SKIP
        >>> predictor.predict("new.csv")  # doctest: +SKIP
    """

    task: Task
    schema: Schema
    members: Sequence[FittedMember]
    modalities: Mapping[str, Modality]
    specs: Mapping[str, InputSpec]
    leaderboard: Leaderboard
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    rows_per_batch: int | None = None

    def __post_init__(self) -> None:
        total = sum(member.share for member in self.members)
        if not total > 0:
            raise PredictorError(f"a predictor must have members with a share, however theirs sum to {total}; add one")
        self.members = [replace(each, share=each.share / total) for each in self.members if each.share > 0]
        keys = {key for member in self.members for key in member.keys.values()}
        self.modalities = {key: self.modalities[key] for key in sorted(keys)}
        self.specs = {key: self.specs[key] for key in sorted(keys)}
        self._networks = [self._network(member) for member in self.members]
        self.to("cpu")

    def predict(self, data: Any, root: str | Path | None = None) -> pd.Series:
        """Return the likeliest class as the user wrote it, or the number, for every row.

        Args:
            data: A path, a frame, or the name of a built-in set.
            root: Where relative paths in cells start, if elsewhere than usual.

        Raises:
            DataError: The data cannot be read, or lacks columns that the predictor was fitted on.
        """
        frame, _ = self._read(data, root)
        found = self._predictions(frame)
        index = _index(data, frame)
        if not self.task.is_classification:
            return pd.Series(found, index=index, name=self.task.target)
        labels = pd.Series(list(self.task.classes)).take(found.argmax(axis=1))
        return labels.set_axis(index).rename(self.task.target)

    def predict_proba(self, data: Any, root: str | Path | None = None) -> pd.DataFrame:
        """Return the probability of every class, a column each, for every row; arguments as in ``predict``.

        Raises:
            DataError: As ``predict``; or numbers are predicted, not classes.
        """
        if not self.task.is_classification:
            raise DataError(
                f"there must be classes to give probabilities of, however '{self.task.target}' is a number; use predict"
            )
        frame, _ = self._read(data, root)
        return pd.DataFrame(self._predictions(frame), index=_index(data, frame), columns=list(self.task.classes))

    def evaluate(self, data: Any, root: str | Path | None = None) -> dict[str, float]:
        """Return the value of every metric that fits the task; rows without a target are left out.

        Raises:
            DataError: As ``predict``; or there is no row with a target.
        """
        frame, targets = self._read(data, root)
        if targets is None:
            raise DataError(
                f"the data must have the target '{self.task.target}' to be evaluated on, however it has not"
            )
        known = targets >= 0 if self.task.is_classification else ~np.isnan(targets)
        if not known.any():
            raise DataError(
                f"a row must have a known target, however no cell of '{self.task.target}' holds one; use predict"
            )
        found, truth = self._predictions(frame if known.all() else frame[known]), targets[known]
        fitting = [name for name, metric in METRICS.items() if self.task.kind in metric.tasks]
        return {name: float(get_metric(name, self.task).function(truth, found)) for name in fitting}

    @property
    def columns(self) -> list[str]:
        """The columns that predictions rest on: those that a member keeps, in the table's order."""
        used: set[str] = set()
        for member in self.members:
            share = float(member.config.training.get("features", 1.0))
            for key in member.keys.values():
                spec = self.specs[key]
                kept = kept_columns(spec, share) if len(spec.shape) == 1 else range(len(spec.columns))
                used |= {spec.columns[position] for position in kept}
        return [column.name for column in self.schema if column.name in used]

    def to(self, device: str | torch.device) -> Predictor:
        """Move the networks there; ``auto`` takes a GPU where there is one.

        Raises:
            RunError: There is no such device here.
        """
        self.device = resolve_device(str(device))
        for network in self._networks:
            network.to(self.device)
        self._specs = {key: spec_on(spec, self.device, torch.float32) for key, spec in self.specs.items()}
        return self

    def summary(self) -> str:
        """What it is and how good, as text for a terminal."""
        lines = [f"predicts '{self.task.target}' ({self.task.kind}), chosen by {self.task.metric}"]
        for part, values in self.scores.items():
            lines.append(f"{part}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))
        lines += [f"{each.share:6.3f} of trial {each.number}: {describe(each.config)}" for each in self.members]
        columns = self.columns
        lines.append(f"uses {len(columns)} of {len(self.schema.columns)} columns: {', '.join(columns)}")
        return "\n".join(lines)

    def save(self, folder: str | Path) -> None:
        """Write everything to a folder, whole or not at all; ``load`` reads it.

        Raises:
            RunError: The disk is full, or the folder cannot be written.
        """
        parts = {
            key: (name, member.config.modalities[name]) for member in self.members for name, key in member.keys.items()
        }
        encoders = {part.name for member in self.members for part in member.config.encoders.values()}
        content = {
            "task": self.task.to_json(),
            "schema": [vars(column) for column in self.schema],
            "root": None if self.root is None else str(self.root),
            "own": own.facts(encoders),
            "requirements": requirements(self.members),
            "modalities": [
                modality_to_content(*part, self.modalities[key], self.specs[key]) for key, part in parts.items()
            ],
            "members": [member_to_content(member) for member in self.members],
            "leaderboard": self.leaderboard.to_json(),
            "scores": self.scores,
            "facts": self.facts,
        }
        storage.save(Path(folder), NAME, content)

    def _read(self, data: Any, root: str | Path | None) -> tuple[pd.DataFrame, np.ndarray | None]:
        if root is None and not isinstance(data, str | os.PathLike):
            root = self.root
        return load_rows(data, self.schema, self.task, root)

    @torch.no_grad()
    def _predictions(self, frame: pd.DataFrame) -> np.ndarray:
        """Predictions, read and computed some rows at a time. Shape: → rows classes, or rows."""
        size = self.rows_per_batch or _rows_at_once(self.specs)
        found = np.empty((len(frame), self.task.n_outputs) if self.task.is_classification else len(frame))
        problems: list[tuple[int, str, str]] = []
        for start in range(0, len(frame), size):
            rows = frame.iloc[start : start + size]
            stored = {key: modality.transform(rows) for key, modality in self.modalities.items()}
            found[start : start + size] = self._ensemble(stored)
            for each in stored.values():
                problems += [(start + row, column, reason) for row, column, reason in each.problems]
        _warn(problems)
        return found

    def _ensemble(self, stored: Mapping[str, Stored]) -> np.ndarray:
        """The members' mean prediction, each counting by its share."""
        there = {key: Stored(each.values.to(self.device), each.present.to(self.device)) for key, each in stored.items()}
        rows = Rows(there, torch.empty(0))
        views = TrainingData(rows, rows, self._specs, self.task, np.empty(0)).batch(rows, slice(None))
        total: Any = 0.0
        for member, network in zip(self.members, self._networks, strict=True):
            outputs = network({name: views[key] for name, key in member.keys.items()})
            total = total + member.share * predictions(outputs, self.task).cpu().double().numpy()
        return np.asarray(total)

    def _network(self, member: FittedMember) -> Network:
        """The member's network as it was trained."""
        specs = {name: self.specs[key] for name, key in member.keys.items()}
        network = Network(member.config, specs, self.task.n_outputs)
        network.load_state_dict(dict(member.weights))
        return network.float().eval().requires_grad_(False)


def load(folder: str | Path, device: str = "auto") -> Predictor:
    """Read a predictor.

    Args:
        folder: A run's folder, or one that ``Predictor.save`` wrote.
        device: Where it shall predict; ``auto`` takes a GPU where there is one.

    Raises:
        PredictorError: There is none, it is damaged, or a newer version wrote it.
        UnknownNameError: It needs a component that is not installed here.
        RunError: There is no such device here.
    """
    path = Path(folder).expanduser()
    inner = path / NAME
    if not any((place / f"{NAME}.json").exists() for place in (path, inner)):
        raise PredictorError(
            f"{path} must be a run's folder or a saved predictor, however there is no {NAME}.json; name another, "
            f"or finish the run with autodl search --resume {path}"
        )
    place = inner if (inner / f"{NAME}.json").exists() else path
    content = storage.load(place, NAME)
    try:
        own.restore(content["own"])
        check_requirements(content["requirements"])
        predictor = _rebuilt(content)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise PredictorError(
            f"{place} must hold a whole predictor, however: {type(error).__name__}: {reason}; save the predictor again"
        ) from error
    return predictor.to(device)


def _rebuilt(content: Mapping[str, Any]) -> Predictor:
    fitted = [modality_from_content(part) for part in content["modalities"]]
    return Predictor(
        task=Task.from_json(content["task"]),
        schema=Schema(tuple(Column(**column) for column in content["schema"])),
        members=[member_from_content(member) for member in content["members"]],
        modalities={key: modality for key, modality, _ in fitted},
        specs={key: spec for key, _, spec in fitted},
        leaderboard=Leaderboard.from_json(content["leaderboard"]),
        scores=content["scores"],
        facts=content["facts"],
        root=None if content["root"] is None else Path(content["root"]),
    )


def _index(data: Any, frame: pd.DataFrame) -> pd.Index:
    """The rows' labels as the user's own frame has them."""
    return data.index if isinstance(data, pd.DataFrame) else frame.index


def _rows_at_once(specs: Mapping[str, InputSpec]) -> int:
    """So many rows that the widest input stays within a fixed number of entries."""
    widest = max(int(np.prod(spec.shape)) for spec in specs.values())
    return int(np.clip(ENTRIES_PER_CHUNK // widest, 16, 8192))


def _warn(problems: Sequence[tuple[int, str, str]]) -> None:
    if problems:
        row, column, reason = problems[0]
        warnings.warn(
            f"{len(problems)} cells cannot be used and count as missing; the first is in column '{column}', "
            f"row {row}: {reason}",
            stacklevel=4,
        )
