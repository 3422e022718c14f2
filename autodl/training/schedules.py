"""Schedules: the factor on learning rates over a training, for all members of a pack at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCHEDULES = ("constant", "cosine", "one_cycle")
"""``constant`` stays at 1; ``cosine`` falls from 1 to 0 along half a wave (Loshchilov, Hutter: SGDR: Stochastic
Gradient Descent with Warm Restarts, arXiv 1608.03983, equation 5, without restarts); ``one_cycle`` rises and falls once
(Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates, arXiv 1708.07120).
"""

RISE = 0.3  # share of one cycle in which the factor rises
START = 1 / 25  # factor at the start of one cycle
END = START / 1e4  # and at its end


def schedule_factor(kind: Tensor, progress: Tensor, warmup: Tensor) -> Tensor:
    """Return the factor on each member's learning rates.

    During the warm-up the factor rises in a straight line from 0 to where the schedule starts; the schedule then runs
    over what is left.

    Shape:
        kind: members 1, index into ``SCHEDULES``
        progress: members 1 (or any shape that broadcasts to it), share of the training done, 0 to 1
        warmup: members 1, share of the training that is warm-up, below 1
        returns: members 1
    """
    left = ((progress - warmup) / (1 - warmup)).clamp_(0, 1)
    rise = torch.where(progress < warmup, progress / warmup, 1)
    return torch.where(kind == 1, _half_wave(left), torch.where(kind == 2, _one_cycle(left), 1)) * rise


def schedule_table(kinds: Tensor, progress: Tensor, warmup: Tensor) -> Tensor:
    """Return the factors of many steps at once: a row of it a step is cheaper than ``schedule_factor``.

    Shape:
        kinds, warmup: members 1
        progress: steps
        returns: steps members 1
    """
    return schedule_factor(kinds, progress.view(-1, 1, 1), warmup)


def _half_wave(progress: Tensor) -> Tensor:
    """Fall from 1 to 0."""
    return (1 + torch.cos(math.pi * progress)) / 2


def _one_cycle(progress: Tensor) -> Tensor:
    """Rise from ``START`` to 1 and fall to ``END``, both along half a wave."""
    rising = 1 + (START - 1) * _half_wave(progress / RISE)
    falling = END + (1 - END) * _half_wave((progress - RISE) / (1 - RISE))
    return torch.where(progress < RISE, rising, falling)
