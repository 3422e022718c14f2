from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autodl._blends import Direct, Linear, Quadratic, blends, is_slow, row_errors
from autodl.metrics import fitting, get_metric
from autodl.records import Task

TASKS = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c")),
    "multilabel": Task("a", "multilabel", further=("b", "c")),
    "regression": Task("y", "regression"),
    "multioutput": Task("a", "multioutput", further=("b",)),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)),
}
EACH = [(kind, name) for kind, task in TASKS.items() for name in fitting(task)]


def case(kind: str, models: int = 5, rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    if TASKS[kind].is_classification:
        classes = len(TASKS[kind].classes)
        targets = np.arange(rows) % classes
        return generator.dirichlet(np.ones(classes), (models, rows)) * 0.6 + 0.4 * np.eye(classes)[targets], targets
    if kind == "multilabel":
        return generator.random((models, rows, 3)), generator.integers(2, size=(rows, 3)).astype(float)
    if kind == "multioutput":
        targets = generator.normal(size=(rows, 2)) * [1, 50]
        return targets + generator.normal(size=(models, rows, 2)) * [1, 20], targets
    targets = generator.normal(size=rows)
    if kind == "regression":
        return targets + generator.normal(size=(models, rows)), targets
    return np.sort(targets[:, None] + generator.normal(size=(models, rows, 3))), targets


def in_parts(predictions: np.ndarray, targets: np.ndarray, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return np.array_split(predictions, count, axis=1), np.array_split(targets, count)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_means_are_judged_as_the_metric_does(kind: str, name: str) -> None:
    """Losses of every mean, three picks deep and on some of the parts: the metric's own, but for a constant."""
    predictions, targets = case(kind)
    metric = get_metric(name, TASKS[kind])
    parts = np.array([0, 1, 2, 3] if name == "r2" else [3, 1])  # r2 is measured by the variance of all parts
    rows = np.concatenate([np.array_split(np.arange(60), 4)[part] for part in parts])
    blend = blends(*in_parts(predictions, targets, 4), metric).on(parts)
    picks: list[int] = []
    found, expected = [], []
    for model in (2, 0, 2):
        means = [predictions[[*picks, each]][:, rows].mean(0) for each in range(5)]
        expected.append([metric.loss(metric.function(targets[rows], mean)) for mean in means])
        found.append(blend.losses()[0])
        blend.add(model)
        picks.append(model)
    factor = expected[0][0] / found[0][0] if name == "brier" else 1.0  # of two classes, or targets, the sum for us
    np.testing.assert_allclose(np.array(found) * factor - (name == "r2"), expected, rtol=1e-5)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_sums_over_rows_take_the_quick_way(kind: str, name: str) -> None:
    predictions, targets = case(kind)
    metric = get_metric(name, TASKS[kind])
    quick = name in ("log_loss", "brier", "pinball", "mae", "mape", "rmse", "r2")
    assert is_slow(metric, targets) != quick
    assert isinstance(blends([predictions], [targets], metric), (Linear, Quadratic) if quick else Direct)


def test_r2_of_a_constant_target_is_left_to_the_metric() -> None:
    predictions, targets = case("regression")
    assert is_slow(get_metric("r2", TASKS["regression"]), np.ones_like(targets))
    blend = blends([predictions], [np.ones_like(targets)], get_metric("r2", TASKS["regression"]))
    np.testing.assert_allclose(blend.losses()[0], 0)


def test_the_squared_error_stands_below_a_metric_that_cannot_tell_means_apart() -> None:
    predictions, targets = case("multiclass")
    silent = replace(get_metric("accuracy", TASKS["multiclass"]), function=lambda y, p: float("nan"))
    losses = Direct([predictions], [targets], silent).losses()
    assert np.isinf(losses[0]).all()
    np.testing.assert_allclose(losses[1], ((predictions - np.eye(3)[targets]) ** 2).sum(2).mean(1))


@pytest.mark.parametrize("kind", TASKS)
def test_row_errors_are_one_number_a_row_and_least_at_the_truth(kind: str) -> None:
    predictions, targets = case(kind)
    truth = np.eye(predictions.shape[2])[targets] if TASKS[kind].is_classification else targets
    perfect = np.repeat(targets[:, None], 3, axis=1) if kind == "quantile" else truth
    assert row_errors(predictions, targets).shape == (5, 60)
    assert not row_errors(perfect[None].astype(float), targets).any()


def test_targets_in_large_units_do_not_silence_small_ones() -> None:
    targets = np.random.default_rng(0).normal(size=(200, 2)) * [1, 1000]
    wrong = targets + np.array([1, 0])
    assert row_errors(wrong[None], targets).mean() == pytest.approx(1, rel=0.2)
