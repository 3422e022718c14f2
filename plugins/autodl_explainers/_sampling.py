"""Means over draws, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from autodl.attribution import Players


def averaged(draws: Iterable[dict[str, Tensor]], players: Players) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Mean entries, mean values and their standard errors; of one draw there is no telling, and errors are NaN.

    Shape: draws of {input: rows *shape} → {input: rows *shape}, rows players, rows players.

    Reference:
        Welford: Note on a Method for Calculating Corrected Sums of Squares and Products, Technometrics 4 (1962).
    """
    entries: dict[str, Tensor] = {}
    mean = squares = torch.zeros(())
    count = 0
    for draw in draws:
        count += 1
        entries = {name: each + entries.get(name, torch.zeros_like(each)) for name, each in draw.items()}
        values = players.pooled(draw)
        off = values - mean
        mean = mean + off / count
        squares = squares + off * (values - mean)
    error = (squares / (count - 1) / count).sqrt() if count > 1 else torch.full_like(mean, math.nan)
    return {name: each / count for name, each in entries.items()}, mean, error
