from __future__ import annotations

import torch

from autodl.optimizers.rmsprop import Rmsprop

SETTINGS = [
    {"learning_rate": 1e-2, "weight_decay": 0.01, "alpha": 0.99, "momentum": 0.0},
    {"learning_rate": 1e-3, "weight_decay": 0.0, "alpha": 0.9, "momentum": 0.9},
    {"learning_rate": 3e-3, "weight_decay": 0.5, "alpha": 0.5, "momentum": 0.5},
]


def test_matches_torch_over_fifty_steps(bench):
    ours = bench.pack(Rmsprop, SETTINGS)
    for member, own in enumerate(SETTINGS):

        def reference(groups, own=own):
            return torch.optim.RMSprop(
                groups(own["weight_decay"]), lr=own["learning_rate"], alpha=own["alpha"], momentum=own["momentum"]
            )

        bench.assert_close(ours[member], bench.torch(member, reference))


def test_pack_equals_separate_trainings(bench):
    bench.assert_pack_equals_separate(Rmsprop, SETTINGS)
