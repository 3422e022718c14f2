"""Adam's moments: the direction that ``adam``, ``adamw`` and the vectors of ``muon`` move in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.optimizers._flat import Constants


def initial_moments(parameters: Tensor) -> dict[str, Tensor]:
    """Return empty averages of gradients and of their squares, and the number of steps that they hold.

    The number is kept a member, since members of a pack may be at different steps.
    """
    return {
        "mean": torch.zeros_like(parameters),
        "square": torch.zeros_like(parameters),
        "steps": parameters.new_zeros(len(parameters), 1),
    }


def direction(
    gradients: Tensor, state: Mapping[str, Tensor], beta1: Tensor, beta2: Tensor, constants: Constants
) -> Tensor:
    """Overwrite the gradients with mean / (sqrt(square) + epsilon), and return the factor that takes the bias away.

    The weight of an average that started empty is 1 - beta^t; both biases stand in the factor, so that they cost
    nothing a parameter, and epsilon is scaled to suit.

    Shape:
        gradients: members parameters
        beta1, beta2: members 1
        returns: members 1
    """
    mean, square, steps = state["mean"], state["square"], state["steps"]
    steps.add_(constants.one)
    root = torch.expm1(steps * beta2.log()).neg_().sqrt_()
    torch.lerp(gradients, mean, beta1, out=mean)
    torch.mul(gradients, gradients, out=gradients)
    torch.lerp(gradients, square, beta2, out=square)
    torch.sqrt(square, out=gradients)
    gradients.add_(root * constants.epsilon)
    torch.div(mean, gradients, out=gradients)
    return root.div_(torch.expm1(steps * beta1.log()).neg_())


def decay(parameters: Tensor, strength: Tensor, constants: Constants) -> None:
    """Shrink the parameters that decay by a share, in place. Shape: members parameters, members 1."""
    parameters.mul_(torch.addcmul(constants.one, constants.decays, strength, value=-1))
