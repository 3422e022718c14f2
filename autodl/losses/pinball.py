"""Pinball loss: its minimum is a quantile, one for each level that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from autodl.contracts import Loss
from autodl.losses._errors import errors
from autodl.records import Task, TaskKind


class Pinball(Loss):
    """level · (target - output) where the target is above the output, (1 - level) · (output - target) below it.

    A row's value is the mean over levels. Nothing here keeps levels from crossing.

    Reference:
        Koenker, Bassett: Regression Quantiles, Econometrica 46 (1978), equation 3.1.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"quantile"})

    def __init__(self, task: Task, class_counts: Tensor) -> None:
        super().__init__(task, class_counts)
        self._levels = torch.tensor(task.quantiles, dtype=torch.float64, device=class_counts.device)

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a level."""
        over = errors(outputs, targets)
        return (over.clamp(min=0) - self._levels.to(outputs) * over).mean(-1)
