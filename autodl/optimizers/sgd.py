"""Stochastic gradient descent, with momentum and Nesterov's look ahead."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.optimizers._flat import FlatOptimizer
from autodl.space import Choice, Float, Space


class Sgd(FlatOptimizer):
    """Gradient descent with momentum 0 (plain), heavy-ball or Nesterov momentum; weight decay is part of the gradient.

    The velocity is v ← momentum · v + g without damping, so that a momentum of 0.9 takes steps up to ten times as long.

    Reference:
        Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning, ICML 2013,
        equations 1 to 4, in the form of ``torch.optim.SGD``, where the learning rate multiplies the velocity.
    """

    space = Space(
        learning_rate=Float(1e-3, 0.3, log=True, per_member=True, default=3e-2, limits=(0, 100), doc="size of a step"),
        weight_decay=Float(
            1e-7,
            1e-2,
            log=True,
            per_member=True,
            default=1e-5,
            limits=(0, 10),
            doc="share of a weight in its gradient",
        ),
        momentum=Choice(
            0.9,
            0.0,
            0.8,
            0.95,
            per_member=True,
            limits=(0, 0.9999),
            doc="share of the velocity kept; 0 is plain descent",
        ),
        nesterov=Choice(True, False, per_member=True, doc="whether the step looks ahead along the velocity"),
    )

    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """No velocity."""
        return {"velocity": torch.zeros_like(parameters)}

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Step along momentum · velocity + gradient (Nesterov: with that gradient once more)."""
        velocity, momentum = state["velocity"], settings["momentum"]
        constants = self.constants(parameters)
        nesterov = settings["nesterov"].to(parameters.dtype)
        rate = settings["learning_rate"] * schedule
        gradients.addcmul_(parameters, constants.decays * settings["weight_decay"])
        torch.addcmul(gradients, velocity, momentum, out=velocity)
        # Nesterov steps along g + momentum · v, the others along v: two weights instead of a branch a member.
        parameters.addcmul_(velocity, torch.lerp(constants.one, momentum, nesterov).mul_(rate), value=-1)
        parameters.addcmul_(gradients, rate.mul_(nesterov), value=-1)
