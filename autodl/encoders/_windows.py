"""Filters over windows of neighbouring tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.encoders._activations import gain, initialise


class BestWindow(nn.Module):
    """What each filter answers to the window of neighbouring tokens that fits it best.

    Only that window has a gradient, so all others are looked at without one, and the way back costs next to nothing.

    Args:
        width: Entries of a token's vector.
        filters: Filters.
        size: Tokens under a filter.
    """

    def __init__(self, width: int, filters: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.convolution = initialise(nn.Conv1d(width, filters, size, bias=False), gain("relu"))
        self.bias = nn.Parameter(torch.zeros(filters))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens width → batch filters."""
        weight = self.convolution.weight  # filters width size
        padded = functional.pad(x, (0, 0, self.size, self.size))  # the first and the last window are empty
        rows = padded.detach().transpose(1, 2).unsqueeze(2)  # two axes: channels side by side in memory are quick there
        place = functional.conv2d(rows, weight.detach().unsqueeze(2)).squeeze(2).argmax(2)  # batch filters
        places = place.unsqueeze(2) + torch.arange(self.size, device=x.device)
        index = places.flatten(1).unsqueeze(2).expand(-1, -1, x.shape[2])
        windows = padded.gather(1, index).view(*places.shape, x.shape[2])  # batch filters size width
        return (windows * weight.transpose(1, 2)).sum((2, 3)) + self.bias
