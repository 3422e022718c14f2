"""Dropout whose noise a pack draws, each member's from the member's own generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout that draws each member's noise from the member's own generator, at the member's own rate.

    A pack sets ``keep`` before each step to 0 (dropped) or 1 / (1 - rate); outside a pack torch's generator is used.

    Args:
        rate: Probability that an entry is set to zero.
        shape: Shape of one row's noise; it broadcasts to the row, so that ``(channels, 1, 1)`` drops whole maps.

    Reference:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout, JMLR 15 (2014).
    """

    rate: Tensor
    keep: Tensor

    def __init__(self, rate: float, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.off = False
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.register_buffer("keep", torch.empty(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *row → batch *row."""
        if not self.training or self.off:
            return x
        if self.keep.numel():
            return x * self.keep.to(x.dtype)
        noise = torch.rand(x.shape[0], *self.shape, device=x.device, dtype=x.dtype)
        return x * (noise >= self.rate).to(x.dtype) / (1 - self.rate)
