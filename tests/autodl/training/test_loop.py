from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from autodl.tasks import TargetScale
from autodl.training.data import TrainingData
from autodl.training.loop import Limits, Training
from autodl.training.members import fold_configs

CPU = torch.device("cpu")


def weights_of(members):
    return {member.config.seed: torch.cat([w.reshape(-1) for w in member.weights.values()]) for member in members}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_pack_of_eight_is_eight_separate_trainings(config, problem, dtype, tolerance):
    """Same weights after 51 steps, though each has its own rate, dropout, clipping, average, schedule and mixup."""
    configs = [
        config(
            seed,
            epochs=18,
            dropout=0.1 * (seed % 4),
            learning_rate=0.002 * (seed + 1),
            clip=float(seed % 2),
            ema=(0.0, 0.9)[seed % 2],
            schedule=("cosine", "constant", "one_cycle")[seed % 3],
            mixup=0.2 * (seed % 3),
            features=(1.0, 0.5)[seed % 2],
        )
        for seed in range(8)
    ]
    data = problem(dtype)
    training = Training(configs, data, CPU)
    assert training.steps * 17 == 51
    together = training.run(Limits(17))
    for config_, member in zip(configs, together, strict=True):
        (alone,) = Training([config_], data, CPU).run(Limits(17))
        unused = {"seconds"} if config_.training["ema"] else {"seconds", "average", "updates"}
        for name, ours in alone.checkpoint.items():
            if name not in unused:
                torch.testing.assert_close(ours, member.checkpoint[name], rtol=tolerance, atol=tolerance, msg=name)


def test_the_loop_learns(config, problem):
    (member,) = Training([config(0, epochs=30)], problem(), CPU).run(Limits(30))
    assert member.ended
    assert member.score is not None
    assert member.score < 0.35


def test_regression_predicts_in_the_targets_own_unit(config, problem):
    data = problem(kind="regression")
    (member,) = Training([config(0, epochs=40, loss="squared_error")], data, CPU).run(Limits(40))
    assert member.predictions is not None
    assert np.corrcoef(member.predictions, data.judged_truth)[0, 1] > 0.9
    assert abs(float(member.predictions.mean()) - float(data.judged_truth.mean())) < 3


def test_same_seed_same_weights(config, problem):
    first, second = (Training([config(3)], problem(), CPU).run(Limits(5)) for _ in range(2))
    assert torch.equal(weights_of(first)[3], weights_of(second)[3])


def test_resuming_is_as_if_it_had_never_stopped(config, problem):
    configs = [config(seed, epochs=9) for seed in range(3)]
    whole = Training(configs, problem(), CPU).run(Limits(9))
    parts = Training(configs, problem(), CPU).run(Limits(4))
    assert not any(member.ended for member in parts)
    again = Training(configs, problem(), CPU)
    again.resume([member.checkpoint for member in parts])
    resumed = again.run(Limits(9))
    assert [m.score for m in resumed] == [m.score for m in whole]
    for seed, weights in weights_of(whole).items():
        assert torch.equal(weights, weights_of(resumed)[seed])


def test_the_best_epoch_is_kept_not_the_last(config, problem):
    seen = []
    configs = [config(0, epochs=60, learning_rate=0.3, clip=0.0, ema=0.0, schedule="constant", dropout=0.0)]
    training = Training(configs, problem(), CPU)

    def listen(running):
        weights = running.members.evaluated(running.pack.parameters)
        predicted = running.predict(weights)[0].numpy()
        seen.append(running.metric.function(running.data.judged_truth, predicted))

    (member,) = training.run(Limits(60), listen)
    assert member.score == min(seen)
    assert member.best_epoch == 1 + int(np.argmin(seen))
    assert seen[-1] > min(seen)


def test_a_member_without_progress_stops_early_and_the_others_go_on(config, problem):
    lazy = config(1, epochs=40, learning_rate=0.0, ema=0.0, patience=3)
    eager = config(2, epochs=40, patience=1000)
    members = Training([lazy, eager], problem(), CPU).run(Limits(40))
    epochs = {member.config.seed: member.epoch for member in members}
    assert epochs[2] == 40
    assert epochs[1] < 40


def test_a_member_that_becomes_nan_is_lost_alone(config, problem):
    wild = config(1, learning_rate=1e300, clip=0.0, ema=0.0, schedule="constant")
    calm = config(2)
    members = {m.config.seed: m for m in Training([wild, calm], problem(), CPU).run(Limits(5))}
    assert "not a number" in members[1].error
    assert "1e+300" in members[1].error
    assert members[1].ended
    assert members[2].error == ""
    alone = Training([calm], problem(), CPU).run(Limits(5))
    assert members[2].score is not None
    assert math.isclose(members[2].score, alone[0].score or 0, rel_tol=1e-9)


def test_a_wish_to_stop_is_heard_inside_an_epoch_and_still_gets_an_answer(config, problem):
    calls = iter(range(1000))
    training = Training([config(0, epochs=50)], problem(), CPU)
    (member,) = training.run(Limits(50, lambda: next(calls) >= 1))
    assert member.score is not None
    assert not member.ended


def test_full_batch_is_plain_gradient_descent(config, problem):
    training = Training([config(0, batch_size="full")], problem(), CPU)
    assert training.steps == 1
    assert training.batch_size == training.data.train_rows


def one_fold(data: TrainingData, fold: int) -> TrainingData:
    """The same rows with one fold alone, held out as a part."""
    return replace(data, folds=(data.folds[fold],))


def test_folds_are_members_like_any_others(config, problem):
    """Each fold of each trial has the weights and the predictions of a training of its own."""
    configs = [config(seed, learning_rate=0.005 * (seed + 1), dropout=0.1 * seed) for seed in range(2)]
    data = problem(folds=4)
    together = Training(configs, data, CPU).run(Limits(1))
    for trial, member in zip(configs, together, strict=True):
        assert member.predictions is not None
        assert member.predictions.shape == (80, 2)
        for fold, own in enumerate(fold_configs([trial], 4)):
            (alone,) = Training([own], one_fold(data, fold), CPU).run(Limits(1))
            for name, weights in alone.weights.items():
                torch.testing.assert_close(member.weights[name][fold : fold + 1], weights, rtol=1e-8, atol=1e-8)
            found = member.predictions[data.folds[fold].validation]
            torch.testing.assert_close(found, alone.predictions, rtol=1e-8, atol=1e-8)


def test_a_trial_has_one_score_over_all_its_folds(config, problem):
    data = problem(folds=4)
    (member,) = Training([config(0)], data, CPU).run(Limits(5))
    predicted = member.predictions.numpy()
    assert member.score == pytest.approx(Training([config(0)], data, CPU).metric.function(data.judged_truth, predicted))


def test_folds_of_unequal_size_train_on_as_many_rows_each(config, problem):
    data = problem(folds=7)
    training = Training([config(0)], data, CPU)
    assert len({len(fold.train) for fold in data.folds}) == 2
    (member,) = training.run(Limits(2))
    assert len(member.predictions) == 80


def test_trials_at_different_epochs_go_on_together(config, problem):
    data = problem(folds=2)
    configs = [config(seed, epochs=9) for seed in range(2)]
    whole = Training(configs, data, CPU).run(Limits(6))
    parts = [Training([each], data, CPU).run(Limits(until))[0] for each, until in zip(configs, (2, 4), strict=True)]
    again = Training(configs, data, CPU)
    again.resume([part.checkpoint for part in parts])
    resumed = {member.config.seed: member for member in again.run(Limits(6))}
    for member in whole:
        other = resumed[member.config.seed]
        assert (other.epoch, other.best_epoch) == (member.epoch, member.best_epoch)
        assert other.score == pytest.approx(member.score, rel=1e-10)


def test_rows_count_by_their_weight(config, problem):
    """A row of weight 0 might as well not be there; the whole batch shows it."""
    weights = np.ones(80)
    weights[:25] = 0.0
    light = problem(weights=weights * 80 / 55)
    few = replace(problem(), folds=(replace(light.folds[0], train=light.folds[0].train[25:]),))
    settings = {"batch_size": "full", "dropout": 0.0, "ema": 0.0, "clip": 0.0}
    weighted, fewer = (Training([config(0, **settings)], data, CPU) for data in (light, few))
    for training in (weighted, fewer):
        training.train_epoch(lambda: False)
    torch.testing.assert_close(
        weighted.pack.parameters, fewer.pack.parameters, rtol=1e-3, atol=1e-3
    )  # a step moves a weight by 0.01


@pytest.mark.parametrize("target", ["none", "log"])
def test_numbers_may_be_seen_as_their_logarithm(config, problem, target):
    data = problem(kind="regression")
    seen = np.exp((data.truth - 10) / 3)
    logs = np.log(seen)
    scales = (
        TargetScale("none", (float(seen.mean()),), (float(seen.std()),)),
        TargetScale("log", (float(logs.mean()),), (float(logs.std()),)),
    )
    task = replace(data.task, scales=scales)
    skewed = replace(
        data,
        truth=seen,
        task=task,
        seen={scale.name: torch.as_tensor(scale.forward(seen)) for scale in scales},
    )
    (member,) = Training([config(0, epochs=40, loss="squared_error", target=target)], skewed, CPU).run(Limits(40))
    predicted = member.predictions.clamp(min=1e-3).numpy()
    assert np.corrcoef(np.log(predicted), np.log(skewed.judged_truth))[0, 1] > 0.7


@pytest.mark.parametrize(("width", "expected"), [(64, False), (128, True)])
def test_bfloat16_is_for_wide_layers(config, problem, width, expected):
    training = Training([config(0, width=width)], problem(torch.float32), CPU, bf16=True)
    assert training.bf16 == expected
