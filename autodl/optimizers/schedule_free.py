"""Schedule-free AdamW: predicts with a running average instead of a falling rate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.optimizers._flat import FlatOptimizer
from autodl.space import Choice, Float, Space


class ScheduleFree(FlatOptimizer):
    """Gradients are taken at y, between the fast sequence z and its average x; x is what predicts.

    The parameters hold y; the state holds z; x = z + (y - z) / beta1 is computed when it is asked for. Meant to run
    with the constant schedule; any other is followed, as steps of rate γ enter the average with weight γ².

    Reference:
        Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky: The Road Less Scheduled, arXiv 2405.15682, algorithm 1.
    """

    space = Space(
        learning_rate=Float(
            1e-4, 3e-2, log=True, per_member=True, default=2.5e-3, limits=(0, 10), doc="size of a step"
        ),
        weight_decay=Float(
            1e-4,
            2.0,
            log=True,
            per_member=True,
            default=1e-2,
            limits=(0, 100),
            doc="share that a weight loses a step, times the learning rate",
        ),
        beta1=Choice(
            0.9,
            0.95,
            per_member=True,
            limits=(0.1, 0.999),
            doc="where gradients are taken: 1 at the average x, 0 at z",
        ),
        beta2=Choice(
            0.95, 0.99, 0.999, per_member=True, limits=(0, 0.99999), doc="memory of the mean of squared gradients"
        ),
    )

    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """Z where the weights start, an empty average."""
        return {
            "z": parameters.detach().clone(),
            "square": torch.zeros_like(parameters),
            "square_weight": parameters.new_zeros(len(parameters), 1),
            "rate_squares": parameters.new_zeros(len(parameters), 1),
        }

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Move z, its average x and, between them, y: the parameters."""
        constants, beta1, beta2 = self.constants(parameters), settings["beta1"], settings["beta2"]
        z, square, square_weight = state["z"], state["square"], state["square_weight"]
        torch.lerp(constants.one, square_weight, beta2, out=square_weight)
        rate = square_weight.sqrt().mul_(settings["learning_rate"]).mul_(schedule)
        share = self._share(state["rate_squares"], rate)

        squared = gradients * gradients
        torch.lerp(squared, square, beta2, out=square)
        torch.sqrt(square, out=squared).add_(constants.epsilon)
        gradients.div_(squared)
        gradients.addcmul_(parameters, torch.mul(constants.decays, settings["weight_decay"], out=squared))
        # y follows from x ← (1 - share) x + share z and y = (1 - beta1) z + beta1 x, with x never stored.
        parameters.lerp_(z, share)
        parameters.addcmul_(gradients, torch.addcmul(constants.one, beta1, 1 - share, value=-1).mul_(rate), value=-1)
        z.addcmul_(gradients, rate, value=-1)

    def evaluation(self, parameters: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Tensor]) -> Tensor:
        """The average x."""
        return torch.lerp(state["z"], parameters, settings["beta1"].reciprocal())

    @staticmethod
    def _share(total: Tensor, rate: Tensor) -> Tensor:
        """Add γ² to its sum, and return the share that z gets in the average. Shape: members 1."""
        weight = rate * rate
        total.add_(weight)
        return weight.div_(total.clamp_min(torch.finfo(total.dtype).tiny))
