"""Huber loss: squared for small errors, absolute for large ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from autodl.contracts import Loss
from autodl.losses._errors import errors
from autodl.records import TaskKind
from autodl.space import Float, Space


class Huber(Loss):
    """e² / 2 up to an error of delta, delta (|e| - delta / 2) beyond; with several targets their mean.

    Reference:
        Huber: Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 35 (1964).
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"regression", "multioutput"})
    space: ClassVar[Space] = Space(
        delta=Float(
            *(0.1, 3.0),
            log=True,
            per_member=True,
            default=1.0,
            limits=(1e-6, 1e6),
            doc="error, in standard deviations of the target, from which on the loss grows in a straight line",
        )
    )

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a target."""
        error = errors(outputs, targets).abs()
        inner = torch.minimum(error, settings["delta"].unsqueeze(-1))
        return (inner * (error - inner / 2)).mean(-1)
