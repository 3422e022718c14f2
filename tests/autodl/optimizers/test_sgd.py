from __future__ import annotations

import pytest
import torch

from autodl.optimizers.sgd import Sgd

SETTINGS = [
    {"learning_rate": 0.05, "weight_decay": 0.01, "momentum": 0.9, "nesterov": True},
    {"learning_rate": 0.05, "weight_decay": 0.0, "momentum": 0.8, "nesterov": False},
    {"learning_rate": 0.1, "weight_decay": 0.1, "momentum": 0.0, "nesterov": False},
]


def reference(own):
    def make(groups):
        return torch.optim.SGD(
            groups(own["weight_decay"]), lr=own["learning_rate"], momentum=own["momentum"], nesterov=own["nesterov"]
        )

    return make


def test_matches_torch_over_fifty_steps(bench):
    ours = bench.pack(Sgd, SETTINGS)
    for member, own in enumerate(SETTINGS):
        bench.assert_close(ours[member], bench.torch(member, reference(own)))


@pytest.mark.parametrize("nesterov", [True, False])
def test_without_momentum_it_is_plain_descent(bench, nesterov):
    """Torch refuses Nesterov without momentum; here it means no momentum."""
    ours = bench.pack(Sgd, [{"learning_rate": 0.05, "weight_decay": 0.0, "momentum": 0.0, "nesterov": nesterov}])
    flat = bench.start[:1].clone()
    for factor in bench.factors:
        flat = flat - 0.05 * factor * bench.gradients(flat)
    bench.assert_close(ours, flat)


def test_pack_equals_separate_trainings(bench):
    bench.assert_pack_equals_separate(Sgd, SETTINGS)
