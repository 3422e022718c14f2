"""By how much numbers are missed."""

from __future__ import annotations

from torch import Tensor


def errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return output - target; a row's only target is compared with each of its outputs.

    Shape: ... batch outputs, ... batch (one target a row) or ... batch outputs → ... batch outputs.
    """
    return outputs - (targets if targets.dim() == outputs.dim() else targets.unsqueeze(-1))
