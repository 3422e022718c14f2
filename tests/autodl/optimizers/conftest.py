"""A small real problem, on which a pack is compared with separate runs of a reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

from autodl.contracts import Optimizer, ParameterLayout

STEPS = 50
MEMBERS = 3
NAMES = ("first.weight", "first.bias", "filters.weight", "last.weight", "last.bias")
SHAPES = ((12, 10), (12,), (8, 3, 4), (1, 8), (1,))
HIDDEN = (True, False, True, False, False)
Group = Callable[[float], list[dict[str, Any]]]


class Bench:
    """Diabetes progression by a network of two hidden layers, the second with three-axis weights; three members."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        inputs, targets = load_diabetes(return_X_y=True, scaled=False)
        inputs, targets = torch.tensor(inputs[:64]), torch.tensor(targets[:64])
        self.inputs = ((inputs - inputs.mean(0)) / inputs.std(0)).to(dtype)
        self.targets = ((targets - targets.mean()) / targets.std()).to(dtype)
        sizes = [math.prod(shape) for shape in SHAPES]
        self.layout = ParameterLayout(NAMES, SHAPES, tuple(sum(sizes[:i]) for i in range(len(sizes))), HIDDEN)
        generator = torch.Generator().manual_seed(0)
        self.start = (torch.randn(MEMBERS, sum(sizes), generator=generator, dtype=torch.float64) * 0.3).to(dtype)
        self.factors = [0.5 + 0.5 * math.cos(math.pi * step / STEPS) for step in range(STEPS)]

    def losses(self, weights: Sequence[Tensor]) -> Tensor:
        """Mean squared error of one member."""
        first, first_bias, filters, last, last_bias = weights
        hidden = torch.tanh(self.inputs @ first.T + first_bias)
        hidden = torch.tanh(torch.einsum("bij,oij->bo", hidden.unflatten(1, (3, 4)), filters))
        return ((hidden @ last.T + last_bias).squeeze(1) - self.targets).square().mean()

    def weights(self, row: Tensor) -> list[Tensor]:
        """One member's parameters as leaves."""
        views = [self.layout.view(row.unsqueeze(0), i)[0] for i in range(len(NAMES))]
        return [view.clone().requires_grad_() for view in views]

    def gradients(self, flat: Tensor) -> Tensor:
        """Of each member, at these parameters."""
        rows = []
        for row in flat:
            weights = self.weights(row)
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(self.losses(weights), weights)]))
        return torch.stack(rows)

    def columns(self, settings: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
        """Settings as a pack passes them."""
        return {
            name: torch.tensor([[float(each[name])] for each in settings], dtype=self.dtype) for name in settings[0]
        }

    def pack(self, kind: type[Optimizer], settings: Sequence[Mapping[str, float]], *, first: int = 0) -> Tensor:
        """Train members ``first`` and following as one pack; return the weights to predict with."""
        optimizer, columns = kind(self.layout), self.columns(settings)
        flat = self.start[first : first + len(settings)].clone()
        state = optimizer.initial_state(flat)
        for factor in self.factors:
            schedule = torch.full((len(flat), 1), factor, dtype=self.dtype)
            optimizer.update(flat, self.gradients(flat), state, columns, schedule)
        return optimizer.evaluation(flat, state, columns)

    def torch(self, member: int, *makers: Callable[[Group], torch.optim.Optimizer]) -> Tensor:
        """Train one member with torch's optimizers; each is made from what returns its parameter groups."""
        weights = self.weights(self.start[member])

        def groups(weight_decay: float, chosen: Sequence[int] = range(len(NAMES))) -> list[dict[str, Any]]:
            matrices = [weights[i] for i in chosen if weights[i].dim() > 1]
            vectors = [weights[i] for i in chosen if weights[i].dim() == 1]
            parts = [(matrices, weight_decay), (vectors, 0.0)]
            return [{"params": params, "weight_decay": share} for params, share in parts if params]

        optimizers = [make(groups) for make in makers]
        rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        for factor in self.factors:
            for weight, gradient in zip(weights, torch.autograd.grad(self.losses(weights), weights), strict=True):
                weight.grad = gradient
            for optimizer, own in zip(optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, own, strict=True):
                    group["lr"] = rate * factor
                optimizer.step()
        return torch.cat([weight.detach().flatten() for weight in weights])

    def assert_close(self, ours: Tensor, theirs: Tensor) -> None:
        """Equal to rounding."""
        tolerance = 1e-12 if self.dtype == torch.float64 else 1e-5
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)

    def assert_pack_equals_separate(self, kind: type[Optimizer], settings: Sequence[Mapping[str, float]]) -> None:
        """What a member becomes does not depend on who shares its pack."""
        together = self.pack(kind, settings)
        for member, own in enumerate(settings):
            self.assert_close(together[member : member + 1], self.pack(kind, [own], first=member))


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)
