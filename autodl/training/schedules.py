"""Schedules: the factor on learning rates over a training, for all members of a pack at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor


def half_waves(along: Tensor, start: float, peak: float, end: float) -> Tensor:
    """A factor that rises from ``start`` to 1 at the share ``peak`` and falls to ``end``, along half a wave each."""
    rising = (1 - start) * (1 - torch.cos(math.pi * (peak - along) / (peak or 1))) / 2
    falling = (1 - end) * (1 - torch.cos(math.pi * (along - peak) / (1 - peak))) / 2
    return 1 - torch.where(along < peak, rising, falling)


def coslog4(along: Tensor) -> Tensor:
    """Four waves between 0 and 1, each twice as long as the one before; the last ends at 0."""
    return (1 - torch.cos(2 * math.pi * torch.log2(1 + 15 * along))) / 2


CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": torch.ones_like,
    "cosine": partial(half_waves, start=1, peak=0, end=0),
    "flat_cosine": partial(half_waves, start=1, peak=0.5, end=0),
    "one_cycle": partial(half_waves, start=1 / 25, peak=0.3, end=1 / 25e4),
    "coslog4": coslog4,
}
"""``cosine``: Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983, equation 5,
without restarts. ``one_cycle``: Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large
Learning Rates, arXiv 1708.07120, with the numbers of ``torch.optim.lr_scheduler.OneCycleLR``. ``coslog4`` and
``flat_cosine`` (flat_cos): Holzmüller, Grinsztajn, Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted
Trees on Tabular Data (RealMLP), arXiv 2407.04491, section 3."""
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
    along = ((progress - warmup) / (1 - warmup)).clamp_(min=0)
    every = torch.stack([curve(along) for curve in CURVES.values()])  # kinds ... members 1
    own = every.gather(0, kind.expand_as(along).unsqueeze(0)).squeeze(0)
    return own * torch.where(progress < warmup, progress / warmup, 1)


def schedule_table(kinds: Tensor, progress: Tensor, warmup: Tensor) -> Tensor:
    """Return the factors of many steps at once: its rows cost a step next to nothing, ``schedule_factor`` does.

    Shape:
        kinds, warmup: members 1
        progress: steps
        returns: steps members 1
    """
    return schedule_factor(kinds, progress.view(-1, 1, 1), warmup)
