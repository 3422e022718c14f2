"""Absolute error: its minimum is the median, so that outliers count little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from autodl.contracts import Loss
from autodl.records import TaskKind


class AbsoluteError(Loss):
    """|output - target|."""

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"regression"})

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output."""
        return (outputs.squeeze(-1) - targets).abs()
