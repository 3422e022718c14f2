"""Adam's moments: the direction that ``adam``, ``adamw`` and the vectors of ``muon`` move in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.optimizers._flat import Constants


def initial_moments(parameters: Tensor) -> dict[str, Tensor]:
    """Return empty averages of gradients and of their squares.

    The weight of an average is the average of ones, 1 - beta^t: dividing by it takes the bias of the empty start away.
    It is kept a member, since members of a pack may be at different steps, and not computed as 1 - beta^t, which loses
    digits in float32.
    """
    return {
        "mean": torch.zeros_like(parameters),
        "square": torch.zeros_like(parameters),
        "mean_weight": parameters.new_zeros(len(parameters), 1),
        "square_weight": parameters.new_zeros(len(parameters), 1),
    }


def direction(
    gradients: Tensor, state: Mapping[str, Tensor], beta1: Tensor, beta2: Tensor, constants: Constants
) -> Tensor:
    """Overwrite the gradients with mean / (sqrt(square) + epsilon), and return the factor that takes the bias away.

    Both biases stand in the factor, so that they cost nothing a parameter; epsilon is scaled to suit.

    Shape:
        gradients: members parameters
        beta1, beta2: members 1
        returns: members 1
    """
    mean, square, mean_weight, square_weight = (
        state["mean"],
        state["square"],
        state["mean_weight"],
        state["square_weight"],
    )
    torch.lerp(constants.one, mean_weight, beta1, out=mean_weight)
    torch.lerp(constants.one, square_weight, beta2, out=square_weight)
    root = square_weight.sqrt()
    torch.lerp(gradients, mean, beta1, out=mean)
    torch.mul(gradients, gradients, out=gradients)
    torch.lerp(gradients, square, beta2, out=square)
    torch.sqrt(square, out=gradients)
    gradients.add_(root * constants.epsilon)
    torch.div(mean, gradients, out=gradients)
    return root.div_(mean_weight)


def decay(parameters: Tensor, strength: Tensor, constants: Constants) -> None:
    """Shrink the parameters that decay by a share, in place. Shape: members parameters, members 1."""
    parameters.mul_(torch.addcmul(constants.one, constants.decays, strength, value=-1))
