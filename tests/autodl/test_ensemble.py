from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.ensemble import greedy_weights, steadied
from autodl.errors import RunError
from autodl.metrics import METRICS


@dataclass(frozen=True)
class Score:
    """As much of a metric as the selection reads."""

    function: Callable[[np.ndarray, np.ndarray], float]
    greater_is_better: bool


LOG_LOSS = Score(lambda y, p: float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-12, 1)).mean()), False)
ACCURACY = Score(lambda y, p: float((p.argmax(1) == y).mean()), True)
RMSE = Score(lambda y, p: float(np.sqrt(np.mean((p - y) ** 2))), False)


def noisy(models: int, rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that lean to the right class, each model's with noise of its own."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(classes, size=rows)
    logits = generator.normal(size=(models, rows, classes)) * generator.uniform(1, 3, size=(models, 1, 1))
    logits[:, np.arange(rows), targets] += 1.5
    odds = np.exp(logits)
    return odds / odds.sum(-1, keepdims=True), targets


def mean(weights: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.einsum("m,m...->...", weights, predictions)


@settings(deadline=None, max_examples=40)
@given(
    models=st.integers(1, 12),
    rows=st.integers(2, 300),
    classes=st.integers(2, 4),
    seed=st.integers(0, 1000),
    metric=st.sampled_from([LOG_LOSS, ACCURACY]),
)
def test_never_worse_than_the_best_single_model(models: int, rows: int, classes: int, seed: int, metric: Score) -> None:
    predictions, targets = noisy(models, rows, classes, seed)
    weights = greedy_weights(predictions, targets, metric)
    sign = 1 if metric.greater_is_better else -1
    best = max(sign * metric.function(targets, each) for each in predictions)
    assert weights.shape == (models,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert sign * metric.function(targets, mean(weights, predictions)) >= best - 1e-12


@pytest.mark.parametrize("name", sorted(METRICS))
def test_never_worse_by_any_metric_and_fast(name: str) -> None:
    metric = METRICS[name]
    predictions, targets = noisy(100, 1000, 2, seed=6)
    if "regression" in metric.tasks:
        predictions, targets = predictions[..., 0] + 5, predictions[0, :, 1] + 5
    started = time.process_time()
    weights = greedy_weights(predictions, targets, metric, patience=25)
    assert time.process_time() - started < 1
    best = min(metric.loss(metric.function(targets, each)) for each in predictions)
    assert metric.loss(metric.function(targets, mean(weights, predictions))) <= best + 1e-12


def test_each_step_is_the_greedy_one() -> None:
    """The textbook loop, step by step, on so many rows that no guard interferes."""
    predictions, targets = noisy(8, 400, 3, seed=3)
    picks = [int(np.argmin([LOG_LOSS.function(targets, each) for each in predictions]))]
    path = [LOG_LOSS.function(targets, predictions[picks[0]])]
    for _ in range(11):
        losses = [LOG_LOSS.function(targets, predictions[[*picks, other]].mean(0)) for other in range(8)]
        picks.append(int(np.argmin(losses)))
        path.append(min(losses))
    best = int(np.argmin(path)) + 1
    weights = greedy_weights(predictions, targets, LOG_LOSS, size=12, patience=12)
    np.testing.assert_allclose(weights, np.bincount(picks[:best], minlength=8) / best)


def test_two_opposite_errors_cancel() -> None:
    targets = np.linspace(0, 10, 100)
    wrong = np.sin(np.arange(100) * 7.0)
    weights = greedy_weights(np.stack([targets + 3, targets + wrong, targets - wrong]), targets, RMSE)
    np.testing.assert_allclose(weights, [0, 0.5, 0.5])


def test_ties_of_the_metric_are_broken_by_squared_error_then_by_order() -> None:
    targets = np.arange(100) % 2
    sure, vague = np.eye(2)[targets] * 0.8 + 0.1, np.eye(2)[targets] * 0.2 + 0.4
    assert greedy_weights(np.stack([vague, sure, sure]), targets, ACCURACY).tolist() == [0, 1, 0]


def test_same_predictions_give_the_same_weights_whatever_else_ran_before() -> None:
    predictions, targets = noisy(30, 200, 2, seed=5)
    first = greedy_weights(predictions, targets, ACCURACY)
    np.random.default_rng(0).normal(size=10)
    np.testing.assert_array_equal(first, greedy_weights(predictions, targets, ACCURACY))


def test_few_rows_give_few_members() -> None:
    predictions, targets = noisy(50, 30, 2, seed=1)
    assert np.count_nonzero(greedy_weights(predictions, targets, LOG_LOSS)) <= 3
    predictions, targets = noisy(50, 9, 2, seed=1)
    assert np.count_nonzero(greedy_weights(predictions, targets, LOG_LOSS)) == 1


def test_only_the_best_are_candidates_and_size_bounds_the_picks() -> None:
    predictions, targets = noisy(40, 1000, 2, seed=2)
    losses = [LOG_LOSS.function(targets, each) for each in predictions]
    chosen = np.flatnonzero(greedy_weights(predictions, targets, LOG_LOSS, candidates=4))
    assert set(chosen) <= set(np.argsort(losses)[:4])
    weights = greedy_weights(predictions, targets, LOG_LOSS, size=3)
    np.testing.assert_allclose(weights * 3 % 1, 0, atol=1e-12)


def test_helps_on_rows_it_never_saw() -> None:
    predictions, targets = noisy(20, 2000, 2, seed=8)
    weights = greedy_weights(predictions[:, :1000], targets[:1000], LOG_LOSS)
    held = predictions[:, 1000:]
    best = int(np.argmin([LOG_LOSS.function(targets[:1000], each) for each in predictions[:, :1000]]))
    assert LOG_LOSS.function(targets[1000:], mean(weights, held)) < LOG_LOSS.function(targets[1000:], held[best])


def test_models_with_infinite_predictions_are_left_out() -> None:
    targets = np.linspace(0, 1, 50)
    broken = np.where(np.arange(50) == 7, np.nan, targets)
    assert greedy_weights(np.stack([broken, targets + 1]), targets, RMSE).tolist() == [0, 1]
    with pytest.raises(RunError, match="none of 1 does"):
        greedy_weights(broken[None], targets, RMSE)


def test_a_metric_that_says_nothing_leaves_it_to_the_squared_error() -> None:
    predictions, targets = noisy(5, 100, 2, seed=0)
    undefined = Score(lambda y, p: float("nan"), True)
    brier = [np.mean((each - np.eye(2)[targets]) ** 2) for each in predictions]
    weights = greedy_weights(predictions, targets, undefined)
    assert np.mean((mean(weights, predictions) - np.eye(2)[targets]) ** 2) <= min(brier)


def test_many_rows_are_ranked_by_some_and_judged_by_all() -> None:
    predictions, targets = noisy(4, 50_000, 2, seed=4)
    seen: list[int] = []

    def function(y: np.ndarray, p: np.ndarray) -> float:
        seen.append(len(y))
        return LOG_LOSS.function(y, p)

    weights = greedy_weights(predictions, targets, Score(function, False), size=4)
    assert set(seen) == {50_000, 16_667}
    best = min(LOG_LOSS.function(targets, each) for each in predictions)
    assert LOG_LOSS.function(targets, mean(weights, predictions)) < best


def peers(models: int, rows: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Models that are all as good as each other: the truth and a noise of their own."""
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=rows)
    return targets + noise * generator.normal(size=(models, rows)), targets


@given(st.integers(1, 30), st.integers(2, 300), st.integers(2, 4) | st.none())
def test_steadied_shares_sum_to_one_and_none_is_lost(models: int, rows: int, classes: int | None) -> None:
    generator = np.random.default_rng(models)
    predictions, targets = peers(models, rows, 0.5)
    if classes:
        predictions = generator.dirichlet(np.ones(classes), size=(models, rows))
        targets = generator.integers(classes, size=rows)
    weights = generator.dirichlet(np.ones(models))
    found = steadied(weights, predictions, targets)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    assert (found[weights > 0] > 0).all()


def test_few_rows_are_trusted_little_and_many_wholly() -> None:
    chosen = np.array([1.0, 0, 0, 0])
    np.testing.assert_allclose(steadied(chosen, *peers(4, 100, 0.5)), [0.4, 0.2, 0.2, 0.2])
    assert steadied(chosen, *peers(4, 50_000, 0.5)) is chosen


def test_a_model_that_is_worse_beyond_doubt_gets_nothing() -> None:
    predictions, targets = peers(3, 100, 0.3)
    predictions[1] += 2.0
    assert steadied(np.array([1.0, 0, 0]), predictions, targets)[1] == 0


def test_no_more_models_than_asked_for() -> None:
    assert (steadied(np.eye(20)[0], *peers(20, 50, 0.5), models=3) > 0).sum() <= 4


def test_it_beats_a_choice_that_was_lucky() -> None:
    """Twenty equal models, one of them chosen on thirty rows: on new rows the steadied mean is nearer to the truth."""
    predictions, targets = peers(20, 3030, 0.5)
    few, new = slice(0, 30), slice(30, None)
    chosen = np.eye(20)[((predictions[:, few] - targets[few]) ** 2).mean(1).argmin()]
    weights = steadied(chosen, predictions[:, few], targets[few])

    def error(shares: np.ndarray) -> float:
        return float(((np.tensordot(shares, predictions[:, new], 1) - targets[new]) ** 2).mean())

    assert error(weights) < 0.5 * error(chosen)
