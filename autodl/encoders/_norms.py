"""Normalisations by name; none of them keeps running statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_GROUPS = 8
CHANNELS_A_GROUP = 4


def vector_norm(name: str, width: int) -> list[nn.Module]:
    """Return a new module for vectors, in a list that is empty for ``none``.

    Reference:
        Ba, Kiros, Hinton: Layer Normalization, arXiv 1607.06450.
        Zhang, Sennrich: Root Mean Square Layer Normalization, arXiv 1910.07467.
    """
    if name == "none":
        return []
    return [nn.LayerNorm(width) if name == "layer" else RmsNorm(width)]


def map_norm(name: str, channels: int) -> list[nn.Module]:
    """Return a new module for feature maps, in a list that is empty for ``none``.

    Reference:
        Wu, He: Group Normalization, arXiv 1803.08494.
    """
    if name == "none":
        return []
    return [nn.GroupNorm(groups(channels), channels)]


class RmsNorm(nn.Module):
    """Divides a vector by the root of its mean square; each entry then has a factor of its own.

    torch's module warns under autocast, where its weights are of another type than its input.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width → batch width."""
        return nn.functional.rms_norm(x, self.weight.shape, eps=1e-6) * self.weight


def groups(channels: int) -> int:
    """Return the most groups, up to 8, that share the channels evenly with at least 4 in each; else 1.

    A group of one channel on a small map would lose the channel's level altogether.
    """
    return max(
        (n for n in range(1, MOST_GROUPS + 1) if channels % n == 0 and channels // n >= CHANNELS_A_GROUP), default=1
    )
