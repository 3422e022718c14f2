"""Squared error: its minimum is the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from autodl.contracts import Loss
from autodl.losses._errors import errors
from autodl.records import TaskKind


class SquaredError(Loss):
    """(output - target)², without a factor of one half; with several targets their mean."""

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"regression", "multioutput"})

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a target."""
        return errors(outputs, targets).square().mean(-1)
