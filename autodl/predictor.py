"""The fitted bundle: an ensemble of networks that predicts, is judged, saved and loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

from autodl import storage
from autodl.answers import answers, intervals, probabilities
from autodl.calibration import Calibration
from autodl.contracts import Modality
from autodl.data.dataset import load_rows
from autodl.data.targets import missing_targets
from autodl.errors import DataError, ExplanationError, PredictorError
from autodl.explaining.evidence import Evidence
from autodl.explaining.explanation import Explanation
from autodl.explaining.request import Request
from autodl.explaining.subject import Subject
from autodl.fitted import FittedEnsemble, FittedMember, parts_from_content
from autodl.intervals import Conformal
from autodl.leaderboard import Leaderboard, describe
from autodl.metrics import fitting
from autodl.network import Network
from autodl.records import Column, InputSpec, Schema, Task
from autodl.training.device import resolve_device

NAME = "predictor"
PandasT = TypeVar("PandasT", pd.Series, pd.DataFrame)


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
        calibration: Makes probabilities honest, and says where the line between classes lies.
        conformal: How far predictions were off on rows that nothing was fitted on; None where that is not known.
        scores: Metric name → value, for ``validation`` (where members were chosen) and ``test`` (touched once).
        evidence: Training rows to compare with in explanations, and predictions of the test part; None where an older
            version saved it.
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
    calibration: Calibration = field(default_factory=Calibration)
    conformal: Conformal | None = None
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    evidence: Evidence | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    rows_per_batch: int | None = None

    def __post_init__(self) -> None:
        self._ensemble = FittedEnsemble(self.members, self.modalities, self.specs, self.task)
        self.members = self._ensemble.members
        self.modalities, self.specs = self._ensemble.modalities, self._ensemble.specs

    @property
    def device(self) -> torch.device:
        """Where it predicts."""
        return self._ensemble.device

    @property
    def networks(self) -> list[Network]:
        """Every network, member after member and fold after fold, in evaluation mode."""
        return self._ensemble.networks

    @property
    def columns(self) -> list[str]:
        """The columns that predictions rest on: those that a member keeps, in the table's order."""
        used = self._ensemble.columns
        return [column.name for column in self.schema if column.name in used]

    def predict(self, data: Any, root: str | Path | None = None) -> pd.Series | pd.DataFrame:
        """Return the likeliest class as the user wrote it, or the number, for every row.

        With several targets, or several quantiles, a column each.

        Args:
            data: A path, a frame, or the name of a built-in set.
            root: Where relative paths in cells start, if elsewhere than usual.

        Raises:
            DataError: The data cannot be read, or lacks columns that the predictor was fitted on.
        """
        frame, _ = self._read(data, root, targets=False)
        return _labelled(answers(self.task, self.predict_frame(frame), self.calibration), data, frame)

    def predict_proba(self, data: Any, root: str | Path | None = None) -> pd.DataFrame:
        """Return the probability of every class, a column each, for every row; arguments as in ``predict``.

        Raises:
            DataError: As ``predict``; or numbers are predicted, not classes.
        """
        if self.task.is_numeric:
            probabilities(self.task, np.empty(0))
        frame, _ = self._read(data, root, targets=False)
        return _labelled(probabilities(self.task, self.predict_frame(frame)), data, frame)

    def predict_interval(self, data: Any, coverage: float = 0.9, root: str | Path | None = None) -> pd.DataFrame:
        """Return predictions with an interval of numbers, or a set of classes, that holds the truth so often.

        Columns: the target and ``TARGET low``, ``TARGET high``; for classes the target and ``TARGET set``, the labels
        joined by ``|``. How far predictions may be off is read from those of rows that nothing was fitted on.

        Args:
            data: As in ``predict``.
            coverage: Share of rows whose truth shall lie inside.
            root: As in ``predict``.

        Raises:
            DataError: As ``predict``; the coverage is no share, or several 0/1 targets are predicted.
        """
        frame, _ = self._read(data, root, targets=False)
        found = intervals(self.task, self.predict_frame(frame), self.calibration, self.conformal, coverage)
        return _labelled(found, data, frame)

    def evaluate(self, data: Any, root: str | Path | None = None) -> dict[str, float]:
        """Return the value of every metric that fits the task; rows without a target are left out.

        Raises:
            DataError: As ``predict``; or there is no row with a target.
        """
        frame, targets = self._read(data, root, targets=True)
        if targets is None:
            raise DataError(
                f"the data must have the target '{self.task.target}' to be evaluated on, however it has not"
            )
        known = ~missing_targets(targets)
        if not known.any():
            raise DataError(
                f"a row must have a known target, however no cell of '{self.task.target}' holds one; use predict"
            )
        return self.scored(self.predict_frame(frame if known.all() else frame[known]), targets[known])

    def scored(self, found: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return the value of every metric that fits the task, for calibrated predictions; decisions as ``predict``'s.

        Shape: rows …, rows … → {metric: value}.
        """
        judged = {name: (each, self.calibration.judged(found, each)) for name, each in fitting(self.task).items()}
        return {name: float(metric.function(targets, told)) for name, (metric, told) in judged.items()}

    def explain(
        self, data: Any, explainer: str = "auto", rows: Any = None, root: str | Path | None = None, **wanted: Any
    ) -> Explanation:
        """Return what every column, pixel or input contributes to the predictions of some rows.

        Args:
            data: As in ``predict``; with the target's column, methods that ask about errors can answer.
            explainer: A registered name, see ``autodl components explainers``; ``auto`` takes Shapley values.
            rows: Positions of the rows; or how many at most, spread evenly; None for all.
            root: As in ``predict``.
            wanted: Fields of ``autodl.explaining.request.Request``: outputs, players, background, settings, concepts,
                seconds (60 unless said otherwise), seed, trial, quantity, force.

        Raises:
            ExplanationError: The answer would mislead, or the question makes no sense.
        """
        frame, truth = self._read(data, root, targets=True)
        frame.index = data.index if isinstance(data, pd.DataFrame) else frame.index
        shown = {name: self._read(each, root, targets=False)[0] for name, each in wanted.pop("concepts", {}).items()}
        return self.subject.explain(frame, truth, Request(explainer=explainer, concepts=shown, **wanted), rows)

    @property
    def subject(self) -> Subject:
        """What explainers are asked about."""
        if self.evidence is None:
            raise ExplanationError(
                "a predictor must carry training rows, however an older autodl saved it; search again"
            )
        return Subject(self._ensemble, self.calibration, self.task, self.schema, self.evidence)

    def to(self, device: str | torch.device) -> Predictor:
        """Move the networks there; ``auto`` takes a GPU where there is one.

        Raises:
            RunError: There is no such device here.
        """
        self._ensemble.to(resolve_device(str(device)))
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
        content = {
            "task": self.task.to_json(),
            "schema": [vars(column) for column in self.schema],
            "root": None if self.root is None else str(self.root),
            "ensemble": self._ensemble.to_content(),
            "leaderboard": self.leaderboard.to_json(),
            "calibration": self.calibration.to_json(),
            "conformal": None if self.conformal is None else self.conformal.to_json(),
            "scores": self.scores,
            "evidence": None if self.evidence is None else self.evidence.to_content(),
            "facts": self.facts,
        }
        storage.save(Path(folder), NAME, content)

    def _read(self, data: Any, root: str | Path | None, *, targets: bool) -> tuple[pd.DataFrame, np.ndarray | None]:
        in_memory = not isinstance(data, str | os.PathLike)
        if root is None and in_memory and self.root is not None and self.root.is_dir():
            root = self.root
        # To predict, whatever stands in the target's column is not looked at: the name of no column says so.
        task = self.task if targets else replace(self.task, target="\0", further=())
        return load_rows(data, self.schema, task, root)

    def predict_frame(self, frame: pd.DataFrame) -> np.ndarray:
        """Calibrated predictions as metrics take them, for rows that are cast already. Shape: → rows …."""
        return self.calibration.apply(self._ensemble.predict(frame, self.rows_per_batch))


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
        predictor = _rebuilt(content)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise PredictorError(
            f"{place} must hold a whole predictor, however: {type(error).__name__}: {reason}; save the predictor again"
        ) from error
    return predictor.to(device)


def _rebuilt(content: Mapping[str, Any]) -> Predictor:
    return Predictor(
        **parts_from_content(content["ensemble"]),
        task=Task.from_json(content["task"]),
        schema=Schema(tuple(Column(**column) for column in content["schema"])),
        leaderboard=Leaderboard.from_json(content["leaderboard"]),
        calibration=Calibration.from_json(content["calibration"]),
        conformal=None if content["conformal"] is None else Conformal.from_json(content["conformal"]),
        scores=content["scores"],
        evidence=None if content.get("evidence") is None else Evidence.from_content(content["evidence"]),
        facts=content["facts"],
        root=None if content["root"] is None else Path(content["root"]),
    )


def _labelled(found: PandasT, data: Any, frame: pd.DataFrame) -> PandasT:
    """The rows called as in the user's own frame; ``attrs["notes"]`` tells what was worth saying of the data."""
    found.index = data.index if isinstance(data, pd.DataFrame) else frame.index
    found.attrs = dict(frame.attrs)
    return found
