"""AdamW: Adam with weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.contracts import ParameterLayout
from autodl.optimizers._adam import decay, direction, initial_moments
from autodl.optimizers._flat import FlatOptimizer
from autodl.optimizers._fused import FusedAdam
from autodl.space import Choice, Float, Space


class Adamw(FlatOptimizer):
    """Adam with decoupled weight decay.

    Reference:
        Loshchilov, Hutter: Decoupled Weight Decay Regularization, arXiv 1711.05101, algorithm 2.
    """

    space = Space(
        learning_rate=Float(1e-4, 1e-2, log=True, per_member=True, default=2e-3, limits=(0, 10), doc="size of a step"),
        weight_decay=Float(
            1e-4,
            2.0,
            log=True,
            per_member=True,
            default=1e-2,
            limits=(0, 100),
            doc="share that a weight loses a step, times the learning rate",
        ),
        beta1=Choice(0.9, per_member=True, limits=(0, 0.9999), doc="memory of the mean of gradients"),
        beta2=Choice(
            0.95, 0.99, 0.999, per_member=True, limits=(0, 0.99999), doc="memory of the mean of squared gradients"
        ),
    )

    def __init__(self, layout: ParameterLayout) -> None:
        super().__init__(layout)
        self._fused = FusedAdam(layout, torch._fused_adamw_)

    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """Empty averages."""
        return initial_moments(parameters)

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Shrink the weights, then step along mean / sqrt(square), both freed of their bias."""
        if self._fused.pays(parameters):
            self._fused.update(parameters, gradients, state, settings, schedule)
            return
        constants = self.constants(parameters)
        rate = settings["learning_rate"] * schedule
        decay(parameters, rate * settings["weight_decay"], constants)
        scale = direction(gradients, state, settings["beta1"], settings["beta2"], constants)
        parameters.addcmul_(gradients, scale.mul_(rate), value=-1)
