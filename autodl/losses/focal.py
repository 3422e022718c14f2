"""Focal loss: rows that are already classified well count less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from autodl.contracts import Loss
from autodl.records import TaskKind
from autodl.space import Float, Space


class Focal(Loss):
    """-(1 - p)^gamma log p of the true class under a softmax; gamma 0 is cross-entropy.

    Reference:
        Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection, arXiv 1708.02002, equation 4.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"binary", "multiclass"})
    space: ClassVar[Space] = Space(
        gamma=Float(
            *(0.0, 5.0),
            per_member=True,
            default=2.0,
            limits=(0.0, 20.0),
            doc="how little rows count that are classified well; 0 = all rows count alike",
        )
    )

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a class."""
        log_p = torch.log_softmax(outputs, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        # The power has no gradient at zero, where the loss is flat: below rounding the complement is held.
        complement = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).eps)
        return -complement.pow(settings["gamma"]) * log_p
