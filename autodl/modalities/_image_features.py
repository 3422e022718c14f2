"""What a network trained on ImageNet sees in images: its last maps, as uint8."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn import functional

from autodl.efficientnet import CHANNELS, DEVIATION, MEAN, MOST, EfficientNet

CELLS = 2
"""Sides that the maps are averaged to: where in an image something is, roughly."""
MAPS = (CHANNELS, CELLS, CELLS)
BATCH = 8
"""Images at once, always as many: how a processor adds up numbers depends on it, and no row must see the others."""
LEVELS = 255
LEAST_DEVIATION = 8.0  # of 255: a map that is nearly always empty is not blown up


def maps_of(images: np.ndarray) -> np.ndarray:
    """Return the root of each map's mean in each quarter of an image, from 0 to 255.

    Roots bring the rare large numbers nearer to the others, which linear models gain from.

    Shape:
        rows 3 height width, uint8 → rows 1280 2 2, uint8

    Reference:
        Perronnin, Sánchez, Mensink: Improving the Fisher Kernel for Large-Scale Image Classification, ECCV 2010,
        section 3.2, for the root.
    """
    network = _network()
    out = np.zeros((len(images), *MAPS), np.uint8)
    batch = torch.empty(BATCH, *images.shape[1:]).contiguous(memory_format=torch.channels_last)
    for start in range(0, len(images), BATCH):
        some = torch.from_numpy(images[start : start + BATCH])
        batch.zero_()[: len(some)] = (some.float() - MEAN) / DEVIATION
        with torch.no_grad():
            means = functional.adaptive_avg_pool2d(network(batch), CELLS)
        levels = (means[: len(some)] / MOST).sqrt_().mul_(LEVELS).round_()
        out[start : start + BATCH] = levels.to(torch.uint8).numpy()
    return out


def prepare() -> None:
    """Build the network, once.

    Raises:
        PredictorError: The package with the weights is not installed.
    """
    _network()


@functools.cache
def _network() -> EfficientNet:
    network = EfficientNet().eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
