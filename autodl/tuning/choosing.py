"""Which trials predict together, by what they said of rows that they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from autodl.calibration import Calibration, fit_calibration
from autodl.ensemble import select
from autodl.metrics import Metric
from autodl.records import TrialRecord
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import Goals

CANDIDATES = 60  # the best trials; of those that are worse hardly one is ever chosen
MOST_T = 2.0  # standard errors by which a cheaper trial may be worse and still be preferred


@dataclass(frozen=True, eq=False)
class Chosen:
    """Trials that predict together.

    Attributes:
        records: The trials.
        weights: Their shares; the sum is 1.
        predictions: What they say together of the judged rows, calibrated; as ``Task`` says.
        calibration: What turns their mean into that.
    """

    records: list[TrialRecord]
    weights: np.ndarray
    predictions: np.ndarray
    calibration: Calibration


def choose(
    run: RunFolder, candidates: Sequence[TrialRecord], goals: Goals, metric: Metric, *, most: int, seed: int
) -> Chosen | None:
    """Choose an ensemble from some trials; None where none has a score.

    Args:
        run: The run.
        candidates: The trials that may be chosen; of those without a score, none is.
        goals: The targets of the judged rows.
        metric: What to optimise.
        most: Trials at most; 1 takes the best one.
        seed: Of the chance in choosing.
    """
    sign = -1.0 if metric.greater_is_better else 1.0
    scored = sorted((sign * r.score, r.number, r) for r in candidates if r.score is not None and r.state != "failed")
    best = [record for _, _, record in scored[: CANDIDATES if most > 1 else 1]]
    best = [record for record in best if _file(run, record).exists()]
    if not best:
        return None
    predictions = np.stack([load_file(_file(run, record))["predictions"].double().numpy() for record in best])
    targets = goals.judged_targets
    weights = np.ones(1)
    if len(best) > 1:
        weights = select(predictions, targets, metric, size=most, seed=seed)
    used = np.flatnonzero(weights)
    blend = np.tensordot(weights[used], predictions[used], axes=1)
    calibration = fit_calibration(blend, targets, goals.task)
    return Chosen([best[index] for index in used], weights[used], calibration.apply(blend), calibration)


def cheapest_as_good(
    run: RunFolder, records: Sequence[TrialRecord], goals: Goals, metric: Metric
) -> TrialRecord | None:
    """Of the trials that no other beats in both score and cost, the cheapest that may be as good as the best.

    May be as good: its squared errors, row by row, exceed those of the best by no more than ``MOST_T`` standard errors.
    """
    front = [r for r in pareto_front(records, metric) if _file(run, r).exists()]
    if not front:
        return None
    sign = -1.0 if metric.greater_is_better else 1.0
    best = min(front, key=lambda r: sign * (r.score or 0.0))
    errors = {r.number: _row_errors(load_file(_file(run, r))["predictions"].double().numpy(), goals) for r in front}
    for record in sorted(front, key=lambda r: r.cost or 0.0):
        worse = errors[record.number] - errors[best.number]
        if worse.mean() <= MOST_T * worse.std() / np.sqrt(len(worse)):
            return record
    return best


def pareto_front(records: Sequence[TrialRecord], metric: Metric) -> list[TrialRecord]:
    """The trials that no other beats in score and cost together, best score first."""
    sign = -1.0 if metric.greater_is_better else 1.0
    known = [r for r in records if r.score is not None and r.cost is not None and r.state != "failed"]
    front: list[TrialRecord] = []
    for record in sorted(known, key=lambda r: (sign * (r.score or 0.0), r.cost, r.number)):
        if not front or (record.cost or 0.0) < (front[-1].cost or 0.0):
            front.append(record)
    return front


def _row_errors(predictions: np.ndarray, goals: Goals) -> np.ndarray:
    """Squared error of each row; of probabilities, summed over classes."""
    targets = goals.judged_targets
    truth = np.eye(predictions.shape[1])[targets] if goals.task.is_classification else targets
    if goals.task.kind == "quantile":
        truth = truth[:, None]
    return np.asarray(((predictions - truth) ** 2).reshape(len(targets), -1).sum(1))


def _file(run: RunFolder, record: TrialRecord) -> Path:
    return run.trial(record.number) / "predictions.safetensors"
