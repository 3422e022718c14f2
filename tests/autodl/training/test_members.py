from __future__ import annotations

import numpy as np
import pytest
import torch

from autodl.metrics import METRICS
from autodl.space import Float, Space
from autodl.training.members import Members, as_settings, fold_configs

TARGETS = np.array([0, 1, 1, 0])


def certain(*right):
    """Predictions that are sure of some rows and wrong on the others."""
    found = torch.zeros(4, 2, dtype=torch.float64)
    for row, target in enumerate(TARGETS):
        found[row, target if row in right else 1 - target] = 1.0
    return found


@pytest.fixture
def members(config):
    configs = [config(0, clip=1.0, ema=0.9, patience=2), config(1, clip=0.0, ema=0.0)]
    return Members(configs, 1, torch.zeros(2, 3, dtype=torch.float64), METRICS["accuracy"])


def test_each_gradient_is_clipped_to_its_own_norm(members):
    gradients = torch.tensor([[3.0, 4.0, 0.0], [3.0, 4.0, 0.0]], dtype=torch.float64)
    members.clip(gradients)
    torch.testing.assert_close(gradients[0].norm(), torch.tensor(1.0, dtype=torch.float64), atol=1e-5, rtol=0)
    assert gradients[1].norm() == 5


def test_a_short_gradient_is_left_alone(members):
    gradients = torch.tensor([[0.3, 0.4, 0.0], [3.0, 4.0, 0.0]], dtype=torch.float64)
    members.clip(gradients)
    assert gradients[0].tolist() == [0.3, 0.4, 0.0]


def test_the_average_is_of_those_who_want_one(members):
    weights = torch.ones(2, 3, dtype=torch.float64)
    expected = 0.0
    for update in range(1, 30):
        members.update_average(weights)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay)
    found = members.evaluated(weights)
    torch.testing.assert_close(found[0], torch.full((3,), expected, dtype=torch.float64))
    assert torch.equal(found[1], weights[1])


def test_only_what_is_better_is_kept(members):
    for epoch, (first, second) in enumerate([((0, 1), (0,)), ((0,), (0, 1, 2)), ((0, 1, 2), (0, 1, 2))], start=1):
        weights = torch.full((2, 3), float(epoch), dtype=torch.float64)
        members.epochs = [epoch, epoch]
        members.judge(weights, torch.stack([certain(*first), certain(*second)]), TARGETS)
    assert members.scores == [0.75, 0.75]
    assert members.best_epochs == [3, 2]  # an equal score later is no better
    assert members.best[:, 0].tolist() == [3.0, 2.0]


def test_patience_counts_epochs_since_the_best(members):
    members.epochs = [1, 1]
    members.judge(torch.zeros(2, 3, dtype=torch.float64), torch.stack([certain(0), certain(0)]), TARGETS)
    for epochs, done in [((2, 2), [False, False]), ((3, 3), [True, False]), ((3, 5), [True, True])]:
        members.epochs = list(epochs)
        assert members.done() == done  # the second one at its last epoch


def test_predictions_that_are_not_numbers_end_a_member(members):
    broken = torch.full((4, 2), torch.nan, dtype=torch.float64)
    members.judge(torch.zeros(2, 3, dtype=torch.float64), torch.stack([broken, certain(0)]), TARGETS)
    assert members.done() == [True, False]
    assert members.scores[1] == 0.25


def test_settings_that_a_recipe_does_not_name_are_at_their_default(members):
    space = Space(rate=Float(0.0, 1.0, per_member=True, default=0.25), other=Float(0.0, 1.0, per_member=True))
    found = as_settings(space, [{"rate": 0.5}, {}], members)
    assert found["rate"].tolist() == [[0.5], [0.25]]
    assert found["other"].tolist() == [[0.5], [0.5]]


def test_a_trial_is_as_many_rows_as_it_has_folds(config):
    members = Members([config(0), config(1), config(2)], 2, torch.arange(12.0).view(6, 2), METRICS["accuracy"])
    assert members.column([1, 2, 3]).flatten().tolist() == [1, 1, 2, 2, 3, 3]
    assert members.keep([0, 2]).tolist() == [0, 1, 4, 5]
    assert members.best.tolist() == [[0, 1], [2, 3], [8, 9], [10, 11]]
    assert members.rows(1) == slice(2, 4)


def test_folds_of_a_trial_have_seeds_of_their_own(config):
    seeds = [each.seed for each in fold_configs([config(5), config(6)], 3)]
    assert len(set(seeds)) == 6
    assert (seeds[0], seeds[3]) == (5, 6)  # a trial of one fold has the seed of its recipe
