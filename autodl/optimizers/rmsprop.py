"""RMSprop: gradients divided by the root of their running mean square."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.optimizers._flat import FlatOptimizer
from autodl.space import Choice, Float, Space


class Rmsprop(FlatOptimizer):
    """RMSprop with momentum; weight decay is part of the gradient.

    Reference:
        Tieleman, Hinton: Neural Networks for Machine Learning, lecture 6.5, 2012, in the form of
        ``torch.optim.RMSprop`` (epsilon outside the root, the learning rate outside the momentum).
    """

    space = Space(
        learning_rate=Float(1e-4, 1e-2, log=True, per_member=True, default=1e-3, limits=(0, 10), doc="size of a step"),
        weight_decay=Float(
            1e-8,
            1e-3,
            log=True,
            per_member=True,
            default=1e-6,
            limits=(0, 10),
            doc="share of a weight in its gradient",
        ),
        alpha=Choice(0.99, 0.9, per_member=True, limits=(0, 0.99999), doc="memory of the mean of squared gradients"),
        momentum=Choice(0.0, 0.9, per_member=True, limits=(0, 0.9999), doc="share of the velocity kept"),
    )

    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """An empty average and no velocity."""
        return {"square": torch.zeros_like(parameters), "velocity": torch.zeros_like(parameters)}

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Step along momentum · velocity + gradient / sqrt(square)."""
        square, velocity = state["square"], state["velocity"]
        constants = self.constants(parameters)
        gradients.addcmul_(parameters, constants.decays * settings["weight_decay"])
        squared = gradients * gradients
        torch.lerp(squared, square, settings["alpha"], out=square)
        torch.sqrt(square, out=squared).add_(constants.epsilon)
        gradients.div_(squared)
        torch.addcmul(gradients, velocity, settings["momentum"], out=velocity)
        parameters.addcmul_(velocity, settings["learning_rate"] * schedule, value=-1)
