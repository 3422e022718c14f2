"""The end of a search: choose members on rows they were not fitted on, touch the test rows once, save the predictor."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import load_file

from autodl.calibration import prior
from autodl.errors import RunError
from autodl.explaining.evidence import Evidence, draw
from autodl.fitted import FittedMember
from autodl.intervals import bootstrap_interval, fit_conformal, measured_coverage
from autodl.leaderboard import Leaderboard, describe
from autodl.metrics import Metric, fitting
from autodl.predictor import Predictor
from autodl.records import InputSpec, Task, TrialRecord
from autodl.training.device import resolve_device
from autodl.tuning.budget import Clock
from autodl.tuning.choosing import Chosen, cheapest_as_good, choose, pareto_front
from autodl.tuning.comparing import Comparison
from autodl.tuning.options import SearchOptions
from autodl.tuning.prepared import Prepared
from autodl.tuning.refitting import Refitter
from autodl.tuning.run_folder import RunFolder, provenance
from autodl.tuning.tensors import TARGETS, Goals, read_goals
from autodl.tuning.trials import BASELINE, Trials

LEAST_SECONDS, MOST_SECONDS = 0.5, 20.0  # for telling what inputs bring
SAVING_SECONDS = 1.5
COVERAGE = 0.9  # of the intervals whose honesty the summary tells


@dataclass(frozen=True, eq=False)
class Ending:
    """What the end of a search needs to know.

    Attributes:
        run: The run.
        trials: All trials; nothing trains any more.
        prepared: Rows and modalities.
        options: What the user said.
        clock: How much time is left.
        state: ``finished`` or ``stopped``.
        searched: Names of the estimators that the user lets predict; baselines beside them only stand in the board.
        sampler_seconds: What proposing trials took.
    """

    run: RunFolder
    trials: Trials
    prepared: Prepared
    options: SearchOptions
    clock: Clock
    state: str
    searched: frozenset[str]
    sampler_seconds: float

    @property
    def two(self) -> bool:
        """Whether a second objective is minimised."""
        return self.trials.cost is not None


def members_at_most(specs: Mapping[str, InputSpec]) -> int:
    """Networks that one predictor may hold: few where each is slow."""
    return 5 if any(len(spec.shape) > 1 for spec in specs.values()) else 16


def finish(end: Ending) -> dict[str, Any]:
    """Save predictor and leaderboard, and return the summary that run.json holds too.

    Raises:
        RunError: No trial has a score: the reasons are listed.
    """
    run, trials = end.run, end.trials
    goals = read_goals(run.data(TARGETS))
    chosen = _chosen(end, goals)
    shares = {} if chosen is None else {r.number: float(w) for r, w in zip(chosen.records, chosen.weights, strict=True)}
    front = pareto_front(trials.records, trials.metric) if end.two else []
    better = trials.metric.greater_is_better
    board = Leaderboard(trials.records, trials.metric.name, better, shares, frozenset(r.number for r in front))
    board.to_csv(run.path / "leaderboard.csv")
    if chosen is None:
        run.write(state="failed", failures=failures(trials.records))
        raise RunError(no_answer(trials.records))
    predictor = assemble(end, chosen, goals, board)
    summary = _summary(end, chosen, goals, predictor)
    predictor.scores = {"validation": summary["validation"], "test": summary["test"]}
    predictor.facts = {"seed": end.options.seed, "summary": summary, "notes": run.read()["notes"], **provenance()}
    predictor.facts["modalities"] = _compared(end, chosen, goals, predictor)
    summary["compared"] = predictor.facts["modalities"].get("compared", [])
    predictor.save(run.predictor)
    summary["seconds"] = round(time.time() - end.clock.started, 2)
    run.write(**summary)
    return summary


def _chosen(end: Ending, goals: Goals) -> Chosen | None:
    """The trials that predict: an ensemble, the best one, or the cheapest that is as good."""
    metric = end.trials.metric
    allowed = [r for r in end.trials.records if r.config.estimator is None or r.config.estimator.name in end.searched]
    most = 1 if end.options.single else members_at_most(end.prepared.specs)
    if end.two:
        cheapest = cheapest_as_good(end.run, allowed, goals, metric)
        allowed, most = ([cheapest] if cheapest else allowed), 1
    chosen = choose(end.run, allowed, goals, metric, most=most, seed=end.options.seed)
    if chosen is None:
        return None
    return replace(chosen, calibration=replace(chosen.calibration, prior=prior(goals.targets, goals.task)))


def assemble(end: Ending, chosen: Chosen, goals: Goals, board: Leaderboard) -> Predictor:
    """The predictor of some trials' best epochs."""
    prepared, dataset = end.prepared, end.prepared.dataset
    again = end.options.refit or end.options.single
    device = resolve_device(end.options.device)
    refit = Refitter(end.run, prepared, goals, end.clock, device) if again else None
    members = []
    for record, weight in zip(chosen.records, chosen.weights, strict=True):
        prepared.keys(record.config)
        whole = refit.weights(record) if refit else None
        tensors = whole if whole is not None else load_file(end.run.trial(record.number) / "weights.safetensors")
        if whole is None and end.options.single and not record.config.estimator:
            tensors = {name: tensor[:1] for name, tensor in tensors.items()}  # no time was left: one fold's network
        members.append(FittedMember(record.number, record.config, tensors, float(weight)))
    return Predictor(
        task=dataset.task,
        schema=dataset.schema,
        members=members,
        modalities=prepared.modalities,
        specs=prepared.specs,
        leaderboard=board,
        root=dataset.root,
        calibration=chosen.calibration,
        conformal=fit_conformal(chosen.predictions, goals.judged_targets, dataset.task),
    )


def _summary(end: Ending, chosen: Chosen, goals: Goals, predictor: Predictor) -> dict[str, Any]:
    """What the search came to; here the test rows are touched, once."""
    dataset, metric, records = end.prepared.dataset, end.trials.metric, end.trials.records
    told, truth = _tested(end, predictor)
    best = predictor.leaderboard.best
    assert best is not None, "internal error: members but no best"
    return {
        "state": end.state,
        "trials": dict(Counter(record.state for record in records)),
        "metric": metric.name,
        "best": {"number": best.number, "score": best.score, "what": describe(best.config)},
        "validation": predictor.scored(chosen.predictions, goals.judged_targets),
        "test": predictor.scored(told, truth),
        "test_interval": {
            each.name: bootstrap_interval(
                each.function, truth, predictor.calibration.judged(told, each), seed=end.options.seed
            )
            for each in _headline(dataset.task, metric)
        },
        "test_coverage": measured_coverage(predictor.conformal, dataset.task, told, truth, COVERAGE),
        "baselines": {
            record.config.estimator.name: record.score
            for record in records
            if record.source == BASELINE and record.config.estimator
        },
        "members": {str(member.number): member.share for member in predictor.members},
        "networks": len(predictor.networks),
        "columns": list(predictor.columns),
        "failures": failures(records),
        "sampler_seconds": round(end.sampler_seconds, 3),
        "seconds": round(time.time() - end.clock.started, 2),
    }


def _tested(end: Ending, predictor: Predictor) -> tuple[Any, Any]:
    """Predictions of the test rows and their targets, which the predictor keeps beside some training rows."""
    dataset, split = end.prepared.dataset, end.prepared.dataset.split
    told, truth = predictor.predict_frame(dataset.frame.iloc[split.test]), dataset.targets[split.test]
    drawn = draw(dataset.frame, dataset.targets, split.train, predictor.modalities, end.options.seed)
    predictor.evidence = Evidence(*drawn, told, truth)
    return told, truth


def _compared(end: Ending, chosen: Chosen, goals: Goals, predictor: Predictor) -> dict[str, Any]:
    """What each input brings, and what is lost where cells are missing."""
    left = math.inf if end.clock.deadline is None else end.clock.deadline - time.time()
    metrics = _headline(predictor.task, end.trials.metric)
    comparison = Comparison(end.run, end.prepared, end.trials.records, goals, metrics, end.options.seed)
    test = end.prepared.dataset.split.test
    return comparison.told(
        predictor, chosen.predictions, test, min(MOST_SECONDS, max(LEAST_SECONDS, left - SAVING_SECONDS))
    )


def _headline(task: Task, metric: Metric) -> list[Metric]:
    """The metric that steered, and the one that people ask for."""
    usual = fitting(task)
    names = dict.fromkeys([metric.name, *(name for name in ("accuracy", "r2") if name in usual)])
    return [usual[name] for name in names]


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
