"""What update rules on a flat matrix share: constants of the layout, made once for each device and precision."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from autodl.contracts import Optimizer, ParameterLayout


@dataclass(frozen=True)
class Constants:
    """Tensors that broadcast to ``members parameters``; a Python number would be wrapped anew by every operation.

    Attributes:
        one: ``(1, 1)``.
        epsilon: ``(1, 1)``: added to denominators.
        decays: ``(1, parameters)``: 1 where weight decay acts, 0 elsewhere.
    """

    one: Tensor
    epsilon: Tensor
    decays: Tensor


class FlatOptimizer(Optimizer):
    """An update rule of few elementwise operations on the whole matrix.

    Weight decay acts on parameters of at least two axes; biases and gains of normalisations keep theirs.
    """

    def __init__(self, layout: ParameterLayout) -> None:
        super().__init__(layout)
        self._constants: dict[tuple[torch.device, torch.dtype], Constants] = {}

    def constants(self, like: Tensor) -> Constants:
        """Return the constants on the device and in the precision of ``like``."""
        key = (like.device, like.dtype)
        if key not in self._constants:
            self._constants[key] = Constants(
                one=like.new_ones(1, 1), epsilon=like.new_full((1, 1), 1e-8), decays=decay_mask(self.layout).to(like)
            )
        return self._constants[key]


def decay_mask(layout: ParameterLayout) -> Tensor:
    """Return 1 where weight decay acts: on parameters of at least two axes. Shape: 1 parameters."""
    pieces = [torch.full((prod(shape),), float(len(shape) > 1)) for shape in layout.shapes]
    mask = torch.zeros(max((at + len(piece) for at, piece in zip(layout.offsets, pieces, strict=True)), default=0))
    for at, piece in zip(layout.offsets, pieces, strict=True):
        mask[at : at + len(piece)] = piece
    return mask.unsqueeze(0)
