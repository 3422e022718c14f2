from __future__ import annotations

import torch

from autodl.optimizers.adamw import Adamw

SETTINGS = [
    {"learning_rate": 1e-2, "weight_decay": 0.5, "beta1": 0.9, "beta2": 0.999},
    {"learning_rate": 3e-2, "weight_decay": 0.0, "beta1": 0.8, "beta2": 0.95},
    {"learning_rate": 1e-3, "weight_decay": 3.0, "beta1": 0.0, "beta2": 0.99},
]


def test_matches_torch_over_fifty_steps(bench):
    ours = bench.pack(Adamw, SETTINGS)
    for member, own in enumerate(SETTINGS):

        def reference(groups, own=own):
            betas = (own["beta1"], own["beta2"])
            return torch.optim.AdamW(groups(own["weight_decay"]), lr=own["learning_rate"], betas=betas)

        bench.assert_close(ours[member], bench.torch(member, reference))


def test_pack_equals_separate_trainings(bench):
    bench.assert_pack_equals_separate(Adamw, SETTINGS)
