"""One trial of an estimator: fitted fold by fold, judged as networks are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import torch

from autodl import estimating
from autodl.metrics import get_metric
from autodl.records import TrialConfig
from autodl.training.data import TrainingData
from autodl.training.timing import median_seconds
from autodl.tuning.executors.job import Message
from autodl.tuning.run_folder import RunFolder, write_text
from autodl.tuning.tensors import Goals, save_tensors
from autodl.vectors import side_by_side


def estimate(
    run: RunFolder, number: int, config: TrialConfig, data: TrainingData, goals: Goals, stop: Callable[[], bool]
) -> Message:
    """Fit one estimator a fold, write what the trial leaves behind, and return what is to be told.

    A trial that is stopped before its last fold has no score: half of the folds judge nobody.
    """
    started = time.perf_counter()
    nothing = {"score": None, "epoch": 0, "best_epoch": 0, "n_parameters": 0, "error": ""}
    message: Message = {"event": "trial", "number": number, "ended": False, **nothing}
    rows = flat_rows(data)
    try:
        fitted, predicted = estimating.fit_folds(
            config,
            rows,
            goals.targets,
            goals.task,
            goals.folds,
            goals.weights,
            stop=stop,
            groups=estimating.category_groups(data.specs),
        )
    except estimating.Stopped:
        return {**message, "seconds": time.perf_counter() - started}
    score = float(get_metric(goals.task.metric, goals.task).function(goals.judged_targets, predicted))
    if not np.isfinite(score):
        raise ValueError(f"its predictions have no {goals.task.metric}: it is {score}")
    folder = run.trial(number)
    folder.mkdir(exist_ok=True)
    write_text(folder / "config.json", json.dumps(config.to_json(), indent=1) + "\n")
    save_tensors({"predictions": torch.as_tensor(predicted)}, folder / "predictions.safetensors")
    save_tensors(estimating.as_weights(fitted), folder / "weights.safetensors")
    told = {"ended": True, "score": score, "epoch": 1, "best_epoch": 1, "seconds": time.perf_counter() - started}
    latency = median_seconds(lambda: estimating.predict(fitted[:1], config, goals.task, rows[:1]))
    return {**message, **told, "latency": latency}


def flat_rows(data: TrainingData) -> np.ndarray:
    """All inputs of all rows side by side. Shape: → rows features."""
    rows = len(data.targets)
    parts = [side_by_side(data.batch(part), data.specs).float().cpu() for part in data.chunks(rows, 1)]
    return np.asarray(torch.cat(parts).numpy())
