"""Schedules: the factor on learning rates over a training, for all members of a pack at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Curve(NamedTuple):
    """A factor that rises from ``start`` to 1 at the share ``peak`` and falls to ``end``, along half a wave each."""

    start: float
    peak: float
    end: float


CURVES = {
    "constant": Curve(1, 0, 1),
    "cosine": Curve(1, 0, 0),
    "one_cycle": Curve(1 / 25, 0.3, 1 / 25e4),
}
"""``cosine``: Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983, equation 5,
without restarts. ``one_cycle``: Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large
Learning Rates, arXiv 1708.07120, with the numbers of ``torch.optim.lr_scheduler.OneCycleLR``."""
SCHEDULES = tuple(CURVES)


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
    curves = torch.tensor(list(CURVES.values()), dtype=progress.dtype, device=progress.device)
    start, peak, end = curves[kind].unbind(-1)
    along = ((progress - warmup) / (1 - warmup)).clamp_(min=0)
    rises = along < peak
    from_peak = (along - peak).abs_() / torch.where(rises, peak, 1 - peak)
    depth = (1 - torch.cos(math.pi * from_peak)) / 2
    return (1 - (1 - torch.where(rises, start, end)) * depth) * torch.where(progress < warmup, progress / warmup, 1)


def schedule_table(kinds: Tensor, progress: Tensor, warmup: Tensor) -> Tensor:
    """Return the factors of many steps at once: its rows cost a step next to nothing, ``schedule_factor`` does.

    Shape:
        kinds, warmup: members 1
        progress: steps
        returns: steps members 1
    """
    return schedule_factor(kinds, progress.view(-1, 1, 1), warmup)
