"""Absolute error: its minimum is the median, so that outliers count little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from autodl.contracts import Loss
from autodl.losses._errors import errors
from autodl.records import TaskKind


class AbsoluteError(Loss):
    """|output - target|, with several targets their mean."""

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"regression", "multioutput"})

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a target."""
        return errors(outputs, targets).abs().mean(-1)
