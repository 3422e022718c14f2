"""First weights that fit the training rows: no unit starts dead, flat or far off."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from autodl.errors import SpaceError
from autodl.records import InputSpec

ROWS = 256
"""Rows that are drawn to see what units answer."""
FLAT = 1e-3
"""A unit whose answers spread less than this over the rows is not scaled up: it would blow up on other rows."""


def likely_rows(spec: InputSpec) -> Tensor:
    """Draw rows as likely as the training rows, each feature by itself. Shape: → rows features.

    Raises:
        SpaceError: The input has no quantiles to draw from.
    """
    if spec.quantiles is None:
        raise SpaceError(
            "initialisation by data needs quantiles, however the input has none; set initialisation to 'random'"
        )
    points, features = spec.quantiles.shape
    rows = spec.quantiles.gather(0, torch.randint(points, (ROWS, features)))
    return rows.to(torch.get_default_dtype())


@torch.no_grad()
def initialise_by_data(layers: Iterable[nn.Module], rows: Tensor) -> None:
    """Change the linear layers among those that rows go through one after the other, the first one first.

    Each unit's weights are scaled so that what they give has a standard deviation of 1 over the rows; its bias is
    such that an activation bends at one of the rows.

    Reference:
        Holzmüller, Grinsztajn, Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data
        (RealMLP), arXiv 2407.04491, section 3, weights. Steinwart: A Sober Look at Neural Network Initializations,
        arXiv 1903.11482, biases.
    """
    for layer in layers:
        if isinstance(layer, nn.Linear):
            spread = (rows @ layer.weight.T).std(0, correction=0)
            layer.weight.div_(torch.where(spread < FLAT, 1, spread).unsqueeze(1))
            bends = rows[torch.randint(len(rows), (len(layer.weight),))]
            layer.bias.copy_(-(bends * layer.weight).sum(1))
        rows = layer(rows)
