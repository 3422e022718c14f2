from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from autodl.calibration import Calibration
from autodl.explaining.evidence import Evidence
from autodl.predictor import Predictor
from autodl.records import Task
from autodl.report.judged import judged_section
from autodl.report.page import Plot, Select


def judged(task: Task, told: Any, truth: Any) -> list[str]:
    """Titles of the figures."""
    evidence = Evidence(pd.DataFrame(), np.zeros(0), np.asarray(told), np.asarray(truth))
    predictor = SimpleNamespace(task=task, evidence=evidence, calibration=Calibration(task.kind == "multilabel"))
    section = judged_section(cast(Predictor, predictor))
    assert section is not None
    plots = [part for part in section.parts if isinstance(part, Plot)]
    chosen = [part for part in section.parts if isinstance(part, Select)]
    return [plot.title for plot in [*plots, *(each for part in chosen for _, parts in part.options for each in parts)]]  # type: ignore[union-attr]


DRAW = np.random.default_rng(0)
LIKELY = DRAW.dirichlet([1, 1, 1], 40)


@pytest.mark.parametrize(
    ("task", "told", "truth", "figures"),
    [
        (Task("y", "binary", ("a", "b")), LIKELY[:, :2] / LIKELY[:, :2].sum(1, keepdims=True), np.arange(40) % 2, 4),
        (Task("y", "multiclass", ("a", "b", "c")), LIKELY, np.arange(40) % 3, 4),
        (Task("y", "multilabel", further=("z",)), LIKELY[:, :2], (DRAW.uniform(size=(40, 2)) > 0.5).astype(float), 4),
        (Task("y", "regression"), DRAW.normal(size=40), DRAW.normal(size=40), 2),
        (Task("y", "multioutput", further=("z",)), DRAW.normal(size=(40, 2)), DRAW.normal(size=(40, 2)), 4),
        (Task("y", "quantile", quantiles=(0.1, 0.5)), np.sort(DRAW.normal(size=(40, 2))), DRAW.normal(size=40), 3),
    ],
)
def test_every_kind_of_task_is_judged(task: Task, told: Any, truth: Any, figures: int) -> None:
    titles = judged(task, told, truth)
    assert len(titles) == figures
    assert all(titles)


def test_an_older_predictor_kept_nothing_to_judge() -> None:
    assert judged_section(cast(Predictor, SimpleNamespace(evidence=None))) is None
