"""What whole inputs (a table, an image, a text, a sound) contribute: exact, over all sets of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autodl.explaining._input_game import Model, answered
from autodl.explaining._input_game import coalitions as coalitions
from autodl.explaining._input_game import interactions as interactions
from autodl.explaining._input_game import joined as joined
from autodl.explaining._input_game import shapley_values as shapley_values
from autodl.explaining._input_game import shares as shares
from autodl.explaining.additive import additive_projection
from autodl.explaining.missing import missing_curve as missing_curve
from autodl.metrics import Metric
from autodl.records import Task

LEAST_ROWS, MOST_PAIRED = 8, 150
"""Rows that are asked however little time there is; rows of which each is put together with every other at most."""
SHARE_OF_TIME = 0.4
"""For the sets of inputs, and again for rows put together anew; the rest is slack."""
DRAWS, CELLS_DRAWN = 200, 4_000_000


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores predictions of some rows.

    Attributes:
        truth: ``(rows, …)`` as the task says.
        task: What is predicted.
        metric: By which it is judged.
    """

    truth: np.ndarray
    task: Task
    metric: Metric

    def at(self, rows: np.ndarray) -> Judge:
        """The same of some rows."""
        return Judge(self.truth[rows], self.task, self.metric)

    def score(self, outputs: Tensor) -> float:
        """Shape: rows outputs."""
        found = outputs.numpy()
        return self.metric.function(self.truth, found[:, 0] if self.task.kind == "regression" else found)

    def ends(self, score: Callable[[Judge, np.ndarray], Any], generator: np.random.Generator, draws: int) -> Any:
        """The ends of a 95 % bootstrap interval over rows of what is worked out from them. Shape: → 2 …."""
        count = len(self.truth)
        drawn = [np.asarray(score(self.at(rows), rows)) for rows in generator.integers(count, size=(draws, count))]
        finite = np.array([each for each in drawn if np.isfinite(each).all()])
        if not len(finite):
            return np.full((2, *drawn[0].shape), math.nan)
        return np.quantile(finite, [0.025, 0.975], axis=0)


def measured(
    model: Model,
    inputs: Mapping[str, Tensor],
    groups: Mapping[str, Sequence[str]],
    truth: np.ndarray,
    task: Task,
    metric: Metric,
    *,
    seconds: float = 20.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure what inputs contribute to the score and to the predictions of some rows, as JSON values.

    Values, and ``value``, are in the metric's own direction: they lead from the score without any input to that with
    all. ``pairs`` are interactions in the score. ``shares`` are means over rows: of each true class, or of all rows
    where numbers or several targets are predicted, each of which then counts by its spread. See ``additive_projection``
    for ``emap``, which is None of a single input. What has no value, such as the AUC of one class, is None.

    Args:
        model: What predicts; outputs as ``task`` says, ``(rows, 1)`` for a single number.
        inputs: ``{key: rows *shape}``, rows that nothing was fitted on.
        groups: Input name → the keys of its views.
        truth: ``(rows, …)`` as ``task`` says.
        task: What is predicted.
        metric: By which it is judged.
        seconds: Wall time, about: where it is short fewer rows are asked, drawn by chance; ``rows`` says how many.
        seed: Of all chance.

    Raises:
        ExplanationError: There are no inputs, or too many.
    """
    generator = np.random.default_rng(seed)
    judge, order = Judge(truth, task, metric), generator.permutation(len(truth))
    cost = _cost(model, inputs)
    rows = np.sort(order[: _affordable(SHARE_OF_TIME * seconds / (cost * 2 ** len(groups)), len(truth))])
    names, known = list(groups), judge.at(rows)
    worths = coalitions(model, _at(inputs, rows), groups)
    scores = torch.tensor([known.score(each) for each in worths], dtype=torch.float64)
    pairs = interactions(scores)
    found: dict[str, Any] = {
        "inputs": names,
        "metric": metric.name,
        "greater_is_better": metric.greater_is_better,
        "rows": len(rows),
        "shapley": _told_scores(worths, scores, names, known, generator),
        "pairs": [[names[a], names[b], _json(pairs[a, b])] for a, b in combinations(range(len(names)), 2)],
        "shares": _told_shares(worths, names, known),
        "emap": None,
    }
    if len(groups) > 1:
        most = min(len(truth), MOST_PAIRED)
        paired = np.sort(order[: _affordable(math.sqrt(SHARE_OF_TIME * seconds / cost), most)])
        found["emap"] = _told_additive(model, _at(inputs, paired), groups, judge.at(paired), generator)
    return found


def _at(inputs: Mapping[str, Tensor], rows: np.ndarray) -> dict[str, Tensor]:
    return {key: x[torch.as_tensor(rows, device=x.device)] for key, x in inputs.items()}


def _cost(model: Model, inputs: Mapping[str, Tensor]) -> float:
    """Seconds a row, among many."""
    some = {key: x[:64] for key, x in inputs.items()}
    answered(model, {key: x[:2] for key, x in some.items()})  # the first call takes longer
    started = time.perf_counter()
    answered(model, some)
    return max(1e-9, (time.perf_counter() - started) / len(next(iter(some.values()))))


def _affordable(rows: float, there: int) -> int:
    return min(there, max(LEAST_ROWS, int(rows)))


def _told_scores(
    worths: Tensor, scores: Tensor, names: Sequence[str], judge: Judge, generator: np.random.Generator
) -> dict[str, Any]:
    """Shapley values of the score, with intervals."""

    def again(drawn: Judge, rows: np.ndarray) -> np.ndarray:
        return shapley_values(torch.tensor([drawn.score(each[rows]) for each in worths], dtype=torch.float64)).numpy()

    low, high = judge.ends(again, generator, max(20, min(DRAWS, CELLS_DRAWN // worths.numel())))
    return {
        "values": {name: _json(value) for name, value in zip(names, shapley_values(scores), strict=True)},
        "intervals": {name: [_json(low[place]), _json(high[place])] for place, name in enumerate(names)},
        "empty": _json(scores[0]),
        "full": _json(scores[-1]),
    }


def _told_shares(worths: Tensor, names: Sequence[str], judge: Judge) -> dict[str, dict[str, Any]]:
    """Mean shares in the predictions, by the true class."""
    values, task, truth = shapley_values(worths), judge.task, judge.truth
    if task.is_classification:
        parts = {str(label): truth == place for place, label in enumerate(task.classes)}
    else:
        values = values / worths[-1].std(0, correction=0).clamp_min(1e-300)
        parts = {"all rows": np.ones(len(truth), dtype=bool)}
    each = shares(values)
    means = {label: each[torch.from_numpy(rows)].mean(0) for label, rows in parts.items() if rows.any()}
    return {label: {n: _json(v) for n, v in zip(names, mean, strict=True)} for label, mean in means.items()}


def _told_additive(
    model: Model,
    inputs: Mapping[str, Tensor],
    groups: Mapping[str, Sequence[str]],
    judge: Judge,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Scores of the model and of the best model without interactions, and their difference."""
    owner = {key: place for place, keys in enumerate(groups.values()) for key in keys}

    def ask(index: Tensor) -> Tensor:
        return answered(model, inputs, {key: index[owner[key]].to(x.device) for key, x in inputs.items()})

    found = additive_projection(ask, len(groups), len(judge.truth), judge.task, generator)

    def gain(drawn: Judge, rows: Any) -> float:
        return drawn.score(found.full[rows]) - drawn.score(found.additive[rows])

    full, additive = judge.score(found.full), judge.score(found.additive)
    low, high = judge.ends(gain, generator, DRAWS)
    told = {"full": full, "additive": additive, "value": full - additive, "low": low, "high": high}
    told["interaction"] = found.interaction
    return {**{name: _json(value) for name, value in told.items()}, "rows": len(judge.truth)}


def _json(value: Any) -> float | None:
    return float(value) if math.isfinite(float(value)) else None
