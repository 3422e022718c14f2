from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.optim import _muon

from autodl.contracts import ParameterLayout
from autodl.optimizers._orthogonal import orthogonalised
from autodl.optimizers.muon import Muon

SETTINGS = [
    {"learning_rate": 0.02, "adamw_learning_rate": 1e-2, "weight_decay": 0.5, "momentum": 0.95},
    {"learning_rate": 0.005, "adamw_learning_rate": 1e-3, "weight_decay": 0.0, "momentum": 0.9},
    {"learning_rate": 0.01, "adamw_learning_rate": 3e-3, "weight_decay": 3.0, "momentum": 0.0},
]


def newton_schulz(matrix):
    """Keller Jordan's formula for one matrix: five times X ← aX + (bA + cA²)X with A = XXᵀ."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class TextbookMuon(torch.optim.Optimizer):
    """One matrix after another; a filter bank as the matrix (filters, all else)."""

    def __init__(self, params, lr, momentum):
        super().__init__(params, {"lr": lr})
        self.momentum = momentum

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                buffer = self.state[weight].setdefault("buffer", torch.zeros_like(weight))
                buffer.copy_(self.momentum * buffer + (1 - self.momentum) * weight.grad)
                look_ahead = (self.momentum * buffer + (1 - self.momentum) * weight.grad).flatten(1)
                rows, columns = look_ahead.shape
                step = newton_schulz(look_ahead) * max(1, rows / columns) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(group["lr"] * step.view_as(weight))


def adamw(own, chosen):
    def make(groups):
        return torch.optim.AdamW(groups(own["weight_decay"], chosen), lr=own["adamw_learning_rate"], betas=(0.9, 0.95))

    return make


def test_matches_the_formula_over_fifty_steps(bench):
    ours = bench.pack(Muon, SETTINGS)
    for member, own in enumerate(SETTINGS):

        def hidden(groups, own=own):
            return TextbookMuon(groups(own["weight_decay"], [0, 2]), own["learning_rate"], own["momentum"])

        bench.assert_close(ours[member], bench.torch(member, hidden, adamw(own, [1, 3, 4])))


def test_matches_torch_with_its_iteration_in_full_precision(bench, monkeypatch):
    """Torch's Muon takes matrices only and iterates in bfloat16; all else must agree with it."""
    monkeypatch.setattr(_muon, "_zeropower_via_newtonschulz", lambda gradient, *_: orthogonalised(gradient[None])[0])
    bench.layout = replace(bench.layout, hidden=(True, False, False, False, False))
    ours = bench.pack(Muon, SETTINGS)
    for member, own in enumerate(SETTINGS):

        def hidden(groups, own=own):
            return torch.optim.Muon(groups(own["weight_decay"], [0]), lr=own["learning_rate"], momentum=own["momentum"])

        bench.assert_close(ours[member], bench.torch(member, hidden, adamw(own, [1, 2, 3, 4])))


def test_pack_equals_separate_trainings(bench):
    bench.assert_pack_equals_separate(Muon, SETTINGS)


def test_matrices_of_one_shape_do_not_mix():
    """Two of a shape and a tall one, apart in the flat matrix: each moves as it would alone."""
    shapes = ((6, 4), (3,), (2, 2, 2), (6, 4), (9, 2))
    sizes = [math.prod(shape) for shape in shapes]
    offsets = tuple(sum(sizes[:i]) for i in range(5))
    layout = ParameterLayout(tuple("abcde"), shapes, offsets, (True, False, True, True, True))
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(2, 2, sum(sizes), generator=generator, dtype=torch.float64)
    settings = {name: torch.full((2, 1), 0.5, dtype=torch.float64) for name in Muon.space}
    flat, optimizer = start.clone(), Muon(layout)
    optimizer.update(flat, gradients.clone(), optimizer.initial_state(flat), settings, torch.ones(2, 1).double())
    for i in (0, 2, 3, 4):
        step = (start * 0.75 - flat) / 0.5
        for member in range(2):
            matrix = layout.view(gradients, i)[member].flatten(1)
            scale = max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            expected = newton_schulz(matrix) * scale
            torch.testing.assert_close(layout.view(step, i)[member].flatten(1), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 5), (3, 20), (20, 3), (1, 7)])
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert ((values > 0.5) & (values < 1.3)).all()


def test_no_gradient_gives_no_direction():
    assert not orthogonalised(torch.zeros(2, 3, 4)).any()
