from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl import ensemble
from autodl.ensemble import select
from autodl.errors import RunError
from autodl.metrics import METRICS, fitting
from autodl.records import Task

LOG_LOSS, ACCURACY, RMSE = METRICS["log_loss"], METRICS["accuracy"], METRICS["rmse"]
TASKS = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multilabel": Task("a", "multilabel", further=("b", "c")),
    "multioutput": Task("a", "multioutput", further=("b",)),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)),
}


def noisy(models: int, rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that lean to the right class, each model's with noise of its own."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(classes, size=rows)
    logits = generator.normal(size=(models, rows, classes)) * generator.uniform(1, 3, size=(models, 1, 1))
    logits[:, np.arange(rows), targets] += 1.5
    odds = np.exp(logits)
    return odds / odds.sum(-1, keepdims=True), targets


def peers(models: int, rows: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Models that are all as good as each other: the truth and a noise of their own."""
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=rows)
    return targets + noise * generator.normal(size=(models, rows)), targets


def mean(weights: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, predictions, axes=1)


@settings(deadline=None, max_examples=30)
@given(
    models=st.integers(1, 12),
    rows=st.integers(1, 300),
    classes=st.integers(2, 4),
    seed=st.integers(0, 1000),
    name=st.sampled_from(["log_loss", "accuracy", "roc_auc", "brier"]),
)
def test_never_worse_than_the_best_single_model(models: int, rows: int, classes: int, seed: int, name: str) -> None:
    predictions, targets = noisy(models, rows, classes, seed)
    metric = METRICS[name]
    weights = select(predictions, targets, metric)
    assert weights.shape == (models,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    losses = np.array([metric.loss(metric.function(targets, each)) for each in predictions])
    if np.isfinite(losses).any():
        assert metric.loss(metric.function(targets, mean(weights, predictions))) <= np.nanmin(losses) + 1e-12


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in TASKS for name in fitting(TASKS[kind])])
def test_every_metric_of_every_kind_can_be_what_is_optimised(kind: str, name: str) -> None:
    generator = np.random.default_rng(0)
    if kind == "binary":
        predictions, targets = noisy(6, 120, 2, 0)
    elif kind == "multilabel":
        targets = generator.integers(2, size=(120, 3)).astype(float)
        predictions = np.clip(targets * 0.4 + 0.3 + generator.normal(size=(6, 120, 3)) * 0.3, 0, 1)
    elif kind == "multioutput":
        targets = generator.normal(size=(120, 2))
        predictions = targets + generator.normal(size=(6, 120, 2))
    else:
        targets = generator.normal(size=120)
        predictions = np.sort(targets[:, None] + generator.normal(size=(6, 120, 3)))
    metric = fitting(TASKS[kind])[name]
    weights = select(predictions, targets, metric)
    best = min(metric.loss(metric.function(targets, each)) for each in predictions)
    assert metric.loss(metric.function(targets, mean(weights, predictions))) <= best + 1e-12


def textbook(predictions: np.ndarray, targets: np.ndarray, size: int) -> np.ndarray:
    """Caruana's loop, step by step: with replacement, the best mean on the way."""
    picks: list[int] = []
    path: list[float] = []
    for _ in range(size):
        losses = [LOG_LOSS.function(targets, predictions[[*picks, other]].mean(0)) for other in range(len(predictions))]
        picks.append(int(np.argmin(losses)))
        path.append(min(losses))
    best = int(np.argmin(path)) + 1
    return np.bincount(picks[:best], minlength=len(predictions)) / best


def test_each_bag_is_the_textbooks_greedy_selection_on_half_of_the_rows() -> None:
    """The halves are drawn here as there, so that every pick can be compared."""
    predictions, targets = noisy(8, 4000, 3, seed=3)  # so many rows that nothing is spread evenly
    generator = np.random.default_rng(5)
    parts = np.array_split(generator.permutation(4000), ensemble.PARTS)
    expected = []
    for _ in range(3):
        half = np.concatenate([parts[part] for part in generator.permutation(64)[:32]])
        expected.append(textbook(predictions[:, half], targets[half], size=8))
    found = select(predictions, targets, LOG_LOSS, size=8, bags=3, seed=5)
    np.testing.assert_allclose(found, np.mean(expected, axis=0))


def test_two_opposite_errors_cancel() -> None:
    targets = np.linspace(0, 10, 4000)
    wrong = np.sin(np.arange(4000) * 7.0)
    weights = select(np.stack([targets + 3, targets + wrong, targets - wrong]), targets, RMSE)
    np.testing.assert_allclose(weights, [0, 0.5, 0.5])


def test_ties_of_the_metric_are_broken_by_squared_error_then_by_order() -> None:
    targets = np.arange(4000) % 2
    sure, vague = np.eye(2)[targets] * 0.8 + 0.1, np.eye(2)[targets] * 0.2 + 0.4
    assert select(np.stack([vague, sure, sure]), targets, ACCURACY).tolist() == [0, 1, 0]


@pytest.mark.parametrize("metric", [LOG_LOSS, ACCURACY], ids=lambda metric: metric.name)
def test_the_seed_decides_and_nothing_else(metric: object) -> None:
    predictions, targets = noisy(30, 200, 2, seed=5)
    first = select(predictions, targets, metric)
    np.random.default_rng(0).normal(size=10)
    np.testing.assert_array_equal(first, select(predictions, targets, metric))
    assert (first != select(predictions, targets, metric, seed=1)).any()


def test_only_the_best_are_candidates_and_size_bounds_the_members() -> None:
    predictions, targets = noisy(40, 1000, 2, seed=2)
    losses = [LOG_LOSS.function(targets, each) for each in predictions]
    chosen = np.flatnonzero(select(predictions, targets, LOG_LOSS, candidates=4))
    assert set(chosen) <= set(np.argsort(losses)[:4])
    for size in (1, 3, 5):
        assert 1 <= np.count_nonzero(select(predictions, targets, LOG_LOSS, size=size)) <= size


def test_helps_on_rows_it_never_saw() -> None:
    predictions, targets = noisy(20, 6000, 2, seed=8)
    weights = select(predictions[:, :1000], targets[:1000], LOG_LOSS)
    held, truth = predictions[:, 1000:], targets[1000:]
    best = int(np.argmin([LOG_LOSS.function(targets[:1000], each) for each in predictions[:, :1000]]))
    assert LOG_LOSS.function(truth, mean(weights, held)) < 0.95 * LOG_LOSS.function(truth, held[best])


def test_of_equal_models_on_few_rows_many_share_and_serve_new_rows_better_than_a_single_greedy_run() -> None:
    ratios = []
    for seed in range(5):
        predictions, targets = peers(20, 3040, 0.5, seed)
        weights = select(predictions[:, :40], targets[:40], RMSE)
        once = select(predictions[:, :40], targets[:40], RMSE, bags=1, size=8)
        errors = [((mean(each, predictions[:, 40:]) - targets[40:]) ** 2).mean() for each in (weights, once)]
        ratios.append(errors[0] / errors[1])
        assert np.count_nonzero(weights) >= 10
    assert np.mean(ratios) < 0.9


def test_a_model_that_is_worse_beyond_doubt_gets_nothing() -> None:
    predictions, targets = peers(5, 100, 0.3)
    predictions[1] += 2.0
    weights = select(predictions, targets, RMSE)
    assert weights[1] == 0
    assert (np.delete(weights, 1) > 0).all()


def test_a_mean_that_is_worse_on_all_rows_gives_way_to_the_best_model(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, targets = peers(3, 5000, 0.3)
    predictions[1:] += 1
    monkeypatch.setattr(ensemble, "_climbed", lambda blend, size: np.full(3, 1 / 3))
    assert select(predictions, targets, RMSE).tolist() == [1, 0, 0]


def test_models_with_infinite_predictions_are_left_out() -> None:
    targets = np.linspace(0, 1, 50)
    broken = np.where(np.arange(50) == 7, np.nan, targets)
    assert select(np.stack([broken, targets + 1]), targets, RMSE).tolist() == [0, 1]
    far = np.full(50, 1e300)
    assert select(np.stack([far, targets + 1]), targets, RMSE).tolist() == [0, 1]
    with pytest.raises(RunError, match="none of 1 does"):
        select(broken[None], targets, RMSE)


def test_a_metric_that_says_nothing_leaves_it_to_the_squared_error() -> None:
    predictions, targets = noisy(5, 100, 2, seed=0)
    undefined = replace(ACCURACY, name="own", function=lambda y, p: float("nan"))
    squares = [np.mean((each - np.eye(2)[targets]) ** 2) for each in predictions]
    weights = select(predictions, targets, undefined)
    assert np.mean((mean(weights, predictions) - np.eye(2)[targets]) ** 2) <= min(squares)
    assert np.count_nonzero(weights) > 1


def test_of_many_rows_some_are_enough_to_choose_by_and_all_are_judged() -> None:
    predictions, targets = noisy(4, 50_000, 2, seed=4)
    seen: list[int] = []

    def function(truth: np.ndarray, told: np.ndarray) -> float:
        seen.append(len(truth))
        return float(ACCURACY.function(truth, told))

    weights = select(predictions, targets, replace(ACCURACY, function=function), size=4)
    assert max(set(seen) - {50_000}) <= ensemble.ROWS_IF_SLOW + ensemble.PARTS
    assert seen.count(50_000) == 5  # each model, and the mean
    best = max(ACCURACY.function(targets, each) for each in predictions)
    assert ACCURACY.function(targets, mean(weights, predictions)) > best
