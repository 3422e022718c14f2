from __future__ import annotations

import math

import torch

from autodl.optimizers.schedule_free import ScheduleFree

SETTINGS = [
    {"learning_rate": 1e-2, "weight_decay": 0.5, "beta1": 0.9, "beta2": 0.999},
    {"learning_rate": 3e-2, "weight_decay": 0.0, "beta1": 0.95, "beta2": 0.95},
    {"learning_rate": 1e-3, "weight_decay": 3.0, "beta1": 0.5, "beta2": 0.99},
]


def paper(bench, member, own):
    """Algorithm 1 of arXiv 2405.15682, line by line, with x, y and z all kept; the factor in place of the warm-up."""
    decays = torch.cat([torch.full((math.prod(s),), float(len(s) > 1)) for s in bench.layout.shapes]).to(bench.dtype)
    z = x = bench.start[member]
    v = torch.zeros_like(x)
    total = 0.0
    for t, factor in enumerate(bench.factors, start=1):
        y = (1 - own["beta1"]) * z + own["beta1"] * x
        g = bench.gradients(y.unsqueeze(0))[0]
        v = own["beta2"] * v + (1 - own["beta2"]) * g**2
        gamma = own["learning_rate"] * math.sqrt(1 - own["beta2"] ** t) * factor
        z = z - gamma * g / (v.sqrt() + 1e-8) - gamma * own["weight_decay"] * decays * y
        total += gamma**2
        c = gamma**2 / total
        x = (1 - c) * x + c * z
    return x, (1 - own["beta1"]) * z + own["beta1"] * x


def test_matches_the_paper_over_fifty_steps(bench):
    ours = bench.pack(ScheduleFree, SETTINGS)
    for member, own in enumerate(SETTINGS):
        bench.assert_close(ours[member], paper(bench, member, own)[0])


def test_gradients_are_taken_at_y(bench):
    """Parameters hold the point where the next gradient belongs, not the average that predicts."""
    optimizer, columns = ScheduleFree(bench.layout), bench.columns(SETTINGS)
    flat = bench.start.clone()
    state = optimizer.initial_state(flat)
    for factor in bench.factors:
        optimizer.update(flat, bench.gradients(flat), state, columns, torch.full((3, 1), factor, dtype=bench.dtype))
    for member, own in enumerate(SETTINGS):
        bench.assert_close(flat[member], paper(bench, member, own)[1])


def test_before_the_first_step_the_average_is_the_start(bench):
    optimizer = ScheduleFree(bench.layout)
    average = optimizer.evaluation(bench.start, optimizer.initial_state(bench.start), bench.columns(SETTINGS))
    bench.assert_close(average, bench.start)


def test_pack_equals_separate_trainings(bench):
    bench.assert_pack_equals_separate(ScheduleFree, SETTINGS)
