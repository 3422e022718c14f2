"""How good the model is on the test part: calibration, confusion, curves, residuals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from autodl.explaining.model import output_names
from autodl.report import scores
from autodl.report.page import Plot, Section, Select

if TYPE_CHECKING:
    from autodl.predictor import Predictor


def judged_section(predictor: Predictor) -> Section | None:
    """Figures of what was said of the test rows; None where an older version kept nothing of them."""
    evidence = predictor.evidence
    if evidence is None or not len(evidence.truth):
        return None
    told, truth, task = evidence.told, evidence.truth, predictor.task
    about = f"{len(truth):,} test rows, which nothing was fitted on or chosen by."
    lead = "The test part was split off before the search and predicted once, at its end."
    if task.is_classification:
        parts = list(_classes(predictor, told, truth, about))
    elif task.kind == "multilabel":
        options = [
            (name, [Plot.of(scores.reliability(told[:, k], truth[:, k] > 0, about, name), half=True)])
            for k, name in enumerate(task.targets)
        ]
        curves = [
            Plot.of(draw(truth > 0, told, list(task.targets), about), half=True)
            for draw in (scores.roc, scores.precision_recall)
        ]
        return Section("How good the model is", "judged", [Select("Target", options), *curves], lead)
    else:
        parts = list(_numbers(predictor, told, truth, about))
    return Section("How good the model is", "judged", parts, lead)


def _classes(predictor: Predictor, told: np.ndarray, truth: np.ndarray, about: str) -> Iterator[Plot]:
    task, names = predictor.task, output_names(predictor.task)
    hit = truth[:, None] == np.arange(len(names))
    if task.kind == "binary":
        yield Plot.of(scores.reliability(told[:, 1], hit[:, 1], about, f"{task.target} = {names[1]}"), half=True)
        shown = slice(1, 2)
    else:
        right = told.argmax(1) == truth
        yield Plot.of(scores.reliability(told.max(1), right, about, "the most likely class"), half=True)
        shown = slice(None)
    yield Plot.of(scores.confusion(truth, predictor.calibration.decide(told), names, about), half=True)
    for draw in (scores.roc, scores.precision_recall):
        if 0 < hit[:, shown].mean() < 1:
            yield Plot.of(draw(hit[:, shown], told[:, shown], names[shown], about), half=True)


def _numbers(predictor: Predictor, told: np.ndarray, truth: np.ndarray, about: str) -> Iterator[Plot]:
    task = predictor.task
    if task.kind == "quantile":
        yield Plot.of(scores.coverage(truth, told, task.quantiles, about), half=True)
        middle = int(np.argmin(np.abs(np.array(task.quantiles) - 0.5)))
        pairs = [(output_names(task)[middle], told[:, middle], truth)]
    elif task.kind == "multioutput":
        pairs = [(name, told[:, k], truth[:, k]) for k, name in enumerate(task.targets)]
    else:
        pairs = [(task.target, told, truth)]
    for name, said, true in pairs:
        yield Plot.of(scores.predicted_and_true(true, said, name, about), half=True)
        yield Plot.of(scores.residuals(true, said, name, about), half=True)
