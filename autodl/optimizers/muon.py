"""Muon: orthogonalised momentum for hidden matrices, AdamW for all else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from autodl.contracts import ParameterLayout
from autodl.optimizers._adam import decay, direction, initial_moments
from autodl.optimizers._flat import Constants, FlatOptimizer
from autodl.optimizers._orthogonal import orthogonalised
from autodl.space import Choice, Float, Space

BETA1, BETA2 = 0.9, 0.95


@dataclass(frozen=True)
class _Block:
    """Hidden matrices of one shape, side by side among the hidden columns; all members' are orthogonalised at once."""

    start: int
    stop: int
    rows: int
    columns: int

    @property
    def scale(self) -> float:
        """Keeps the size of the change in outputs apart from the shape: sqrt(max(1, rows / columns))."""
        return sqrt(max(1.0, self.rows / self.columns))


@dataclass(frozen=True)
class _Parts:
    """Which columns of the flat matrix Muon moves and which AdamW, with constants of the latter, on one device."""

    hidden: Tensor
    rest: Tensor
    constants: Constants
    beta1: Tensor
    beta2: Tensor


class Muon(FlatOptimizer):
    """Momentum, Nesterov's look ahead, then the nearest semi-orthogonal matrix in place of the step.

    A filter bank counts as the matrix (filters, all else). The learning rate is the spectral norm of a step of a square
    matrix; a tall one's is sqrt(rows / columns) times as long (the original rule, not the one that matches AdamW's).
    Embeddings, the head, biases and gains move by AdamW with betas 0.9 and 0.95. Weight decay is decoupled in both.

    Reference:
        Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein: Muon: An optimizer for hidden layers in neural networks,
        https://kellerjordan.github.io/posts/muon/, 2024.
    """

    space = Space(
        learning_rate=Float(
            3e-4, 0.1, log=True, per_member=True, default=1e-2, limits=(0, 10), doc="size of a step of hidden matrices"
        ),
        adamw_learning_rate=Float(
            1e-4, 1e-2, log=True, per_member=True, default=2e-3, limits=(0, 10), doc="size of a step of all else"
        ),
        weight_decay=Float(
            1e-4,
            2.0,
            log=True,
            per_member=True,
            default=1e-2,
            limits=(0, 100),
            doc="share that a weight loses a step, times its learning rate",
        ),
        momentum=Choice(0.95, 0.9, per_member=True, limits=(0, 0.9999), doc="memory of the mean of hidden gradients"),
    )

    def __init__(self, layout: ParameterLayout) -> None:
        super().__init__(layout)
        by_shape = sorted((shape[0], prod(shape[1:]), i) for i, shape in enumerate(layout.shapes) if layout.hidden[i])
        self._hidden = [i for _, _, i in by_shape]
        self._blocks = _blocks([(rows, columns) for rows, columns, _ in by_shape])
        self._parts: dict[tuple[torch.device, torch.dtype], _Parts] = {}

    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """No momentum for hidden columns, empty averages for the rest."""
        parts = self._parts_for(parameters)
        momentum = parameters.new_zeros(len(parameters), len(parts.hidden))
        return {"momentum": momentum, **initial_moments(parameters[:, parts.rest])}

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Move vectors, embeddings and the head by AdamW, hidden matrices by orthogonalised momentum."""
        parts = self._parts_for(parameters)
        self._move_rest(parameters, gradients, state, settings, schedule, parts)
        self._move_hidden(parameters, gradients, state, settings, schedule, parts)

    def _move_rest(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
        parts: _Parts,
    ) -> None:
        rate = settings["adamw_learning_rate"] * schedule
        weights, step = parameters.index_select(1, parts.rest), gradients.index_select(1, parts.rest)
        decay(weights, rate * settings["weight_decay"], parts.constants)
        scale = direction(step, state, parts.beta1, parts.beta2, parts.constants)
        parameters.index_copy_(1, parts.rest, weights.addcmul_(step, scale.mul_(rate), value=-1))

    def _move_hidden(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
        parts: _Parts,
    ) -> None:
        rate = settings["learning_rate"] * schedule
        weights, step = parameters.index_select(1, parts.hidden), gradients.index_select(1, parts.hidden)
        torch.lerp(step, state["momentum"], settings["momentum"], out=state["momentum"])
        step.lerp_(state["momentum"], settings["momentum"])
        for block in self._blocks:
            part = step[:, block.start : block.stop]
            orthogonal = orthogonalised(part.reshape(-1, block.rows, block.columns))
            torch.mul(orthogonal.reshape(part.shape), block.scale, out=part)
        weights.mul_(torch.addcmul(parts.constants.one, rate, settings["weight_decay"], value=-1))
        parameters.index_copy_(1, parts.hidden, weights.addcmul_(step, rate, value=-1))

    def _parts_for(self, like: Tensor) -> _Parts:
        key = (like.device, like.dtype)
        if key not in self._parts:
            whole = self.constants(like)
            hidden = _columns(self.layout, self._hidden)
            rest = _columns(self.layout, [i for i in range(len(self.layout.names)) if i not in set(self._hidden)])
            hidden, rest = hidden.to(like.device), rest.to(like.device)
            self._parts[key] = _Parts(
                hidden,
                rest,
                Constants(whole.one, whole.epsilon, whole.decays[:, rest]),
                beta1=like.new_full((1, 1), BETA1),
                beta2=like.new_full((1, 1), BETA2),
            )
        return self._parts[key]


def _blocks(shapes: list[tuple[int, int]]) -> list[_Block]:
    """Return one block for each shape of a sorted list."""
    blocks, start = [], 0
    for shape in dict.fromkeys(shapes):
        stop = start + shapes.count(shape) * prod(shape)
        blocks.append(_Block(start, stop, *shape))
        start = stop
    return blocks


def _columns(layout: ParameterLayout, indices: list[int]) -> Tensor:
    """Return the positions of some parameters in the flat matrix, one after another."""
    spans = [torch.arange(layout.offsets[i], layout.offsets[i] + prod(layout.shapes[i])) for i in indices]
    return torch.cat([torch.empty(0, dtype=torch.long), *spans])
