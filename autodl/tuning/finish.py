"""The end of a search: choose members on validation rows, touch the test rows once, save the predictor."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors.torch import load_file

from autodl.ensemble import STEADY_MODELS, greedy_weights, steadied
from autodl.errors import RunError
from autodl.fitted import FittedMember
from autodl.leaderboard import Leaderboard, describe
from autodl.metrics import METRICS, Metric
from autodl.predictor import Predictor
from autodl.records import InputSpec, Task, TrialRecord
from autodl.tuning.budget import Clock
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder, provenance
from autodl.tuning.tensors import TARGETS, read_targets
from autodl.tuning.trials import Trials


def members_at_most(specs: Mapping[str, InputSpec]) -> int:
    """Networks that one predictor may hold: few where each is slow."""
    return 5 if any(len(spec.shape) > 1 for spec in specs.values()) else 16


def finish(
    run: RunFolder, trials: Trials, prepared: Prepared, clock: Clock, state: str, sampler_seconds: float
) -> dict[str, Any]:
    """Save predictor and leaderboard, and return the summary that run.json holds too.

    Raises:
        RunError: No trial has a score: the reasons are listed.
    """
    task, metric = prepared.dataset.task, trials.metric
    chosen, weights, validation = choose(run, trials.records, metric, members_at_most(prepared.specs))
    shares = {record.number: float(weight) for record, weight in zip(chosen, weights, strict=True)}
    board = Leaderboard(trials.records, metric.name, metric.greater_is_better, shares)
    board.to_csv(run.path / "leaderboard.csv")
    if not chosen:
        run.write(state="failed", failures=failures(trials.records))
        raise RunError(no_answer(trials.records))
    targets, _, train = read_targets(run.data(TARGETS))
    scores = {"validation": score_all(task, targets[train:], validation)}
    predictor = assemble(run, prepared, chosen, weights, board)
    test = prepared.dataset.split.test
    told = predictor.predict_frame(prepared.dataset.frame.iloc[test])
    scores["test"] = score_all(task, prepared.dataset.targets[test], told)
    best = board.best
    assert best is not None, "internal error: members but no best"
    summary = {
        "state": state,
        "trials": dict(Counter(record.state for record in trials.records)),
        "metric": metric.name,
        "best": {"number": best.number, "score": best.score, "what": describe(best.config)},
        **scores,
        "members": {str(number): share for number, share in shares.items()},
        "columns": list(predictor.columns),
        "failures": failures(trials.records),
        "sampler_seconds": round(sampler_seconds, 3),
        "seconds": round(time.time() - clock.started, 2),
    }
    predictor.scores = scores
    predictor.facts = {"summary": summary, "notes": run.read()["notes"], **provenance()}
    predictor.save(run.predictor)
    summary["seconds"] = round(time.time() - clock.started, 2)
    run.write(**summary)
    return summary


def choose(
    run: RunFolder, records: Sequence[TrialRecord], metric: Metric, most: int
) -> tuple[list[TrialRecord], np.ndarray, np.ndarray]:
    """The trials that predict together, their weights, and what they predict for the validation rows."""
    sign = -1.0 if metric.greater_is_better else 1.0
    scored = sorted((sign * r.score, r.number, r) for r in records if r.score is not None and r.state != "failed")
    candidates = [record for _, _, record in scored[:25]]
    if not candidates:
        return [], np.empty(0), np.empty(0)
    files = [run.trial(record.number) / "predictions.safetensors" for record in candidates]
    predictions = np.stack([load_file(file)["predictions"].double().numpy() for file in files])
    targets, _, train = read_targets(run.data(TARGETS))
    chosen = greedy_weights(predictions, targets[train:], metric, size=most)
    weights = steadied(chosen, predictions, targets[train:], min(most, STEADY_MODELS))
    used = np.flatnonzero(weights)
    blend = np.tensordot(weights[used], predictions[used], axes=1)
    return [candidates[index] for index in used], weights[used], blend


def assemble(
    run: RunFolder, prepared: Prepared, chosen: Sequence[TrialRecord], weights: np.ndarray, board: Leaderboard
) -> Predictor:
    """The predictor of some trials' best epochs."""
    dataset = prepared.dataset
    members = []
    for record, weight in zip(chosen, weights, strict=True):
        prepared.keys(record.config)
        tensors = load_file(run.trial(record.number) / "weights.safetensors")
        members.append(FittedMember(record.number, record.config, tensors, float(weight)))
    return Predictor(
        task=dataset.task,
        schema=dataset.schema,
        members=members,
        modalities=prepared.modalities,
        specs=prepared.specs,
        leaderboard=board,
        root=dataset.root,
    )


def score_all(task: Task, targets: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Every metric that fits the task."""
    fitting = {name: metric for name, metric in METRICS.items() if task.kind in metric.tasks}
    return {name: float(metric.function(targets, predictions)) for name, metric in fitting.items()}


def failures(records: Sequence[TrialRecord]) -> dict[str, int]:
    """Why trials failed: reason → count."""
    return dict(Counter(record.error for record in records if record.state == "failed").most_common())


def no_answer(records: Sequence[TrialRecord]) -> str:
    """Why there is no predictor, in one line."""
    reasons = failures(records)
    if reasons:
        listed = "; ".join(f"{count} × {reason}" for reason, count in list(reasons.items())[:3])
        return f"at least one trial must finish an epoch, however all {sum(reasons.values())} failed: {listed}"
    return "at least one trial must finish an epoch, however the search ended before; give it more --time"
