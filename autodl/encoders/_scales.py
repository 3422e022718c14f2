"""Learned factors: of what goes into a network, and of each of several predictors that share their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.encoders._activations import RELU_LIKE, initialise

MOST_FOLDED = 64
"""Inputs up to which predictors' scales are multiplied into the first layer's weights: with few inputs there are fewer
weights of all predictors than numbers that come out for all rows."""


class FrontScale(nn.Module):
    """A factor for each entry, at the start 1.

    The parameter is held six times smaller than the factor, which makes the factor's steps six times larger under
    optimizers that do not heed a gradient's scale, as Adam.

    Reference:
        Holzmüller, Grinsztajn, Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data
        (RealMLP), arXiv 2407.04491, section 3.
    """

    FASTER = 6.0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), 1 / self.FASTER))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width → batch width."""
        return x * (self.FASTER * self.factor)


class AdaptedLinear(nn.Module):
    """One linear map for all predictors; each scales what goes in and what comes out, and adds a bias of its own.

    Scales and biases are kept as vectors, so that weight decay and Muon leave them alone.

    Args:
        inputs: Width of what goes in.
        width: Width of what comes out.
        copies: Predictors.
        own: Whether predictors have scales and a bias of their own; else all share one bias.
        first: Whether what goes in is scaled in any case.

    Shape:
        batch copies inputs → batch copies width

    Reference:
        Wen, Tran, Ba: BatchEnsemble: An Alternative Approach to Efficient Ensemble and Lifelong Learning,
        arXiv 2002.06715, eq. 5.
    """

    def __init__(self, inputs: int, width: int, copies: int, *, own: bool, first: bool) -> None:
        super().__init__()
        linear = initialise(nn.Linear(inputs, width), RELU_LIKE)
        self.copies = copies
        self.folds = first and inputs <= MOST_FOLDED
        self.weight = linear.weight
        self.into = nn.Parameter(torch.ones(copies * inputs)) if own or first else None
        self.out = nn.Parameter(torch.ones(copies * width)) if own else None
        self.bias = nn.Parameter(linear.bias.detach().repeat(copies if own else 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch copies (or 1) inputs → batch copies width."""
        if self.folds:
            return self._folded(x.squeeze(1))
        if self.into is not None:
            x = x * self.into.view(self.copies, -1)
        rows = x.flatten(0, 1)
        if self.out is None:
            return functional.linear(rows, self.weight, self.bias).view(len(x), self.copies, -1)
        mapped = functional.linear(rows, self.weight).view(len(x), self.copies, -1)
        return torch.addcmul(self.bias.view(self.copies, -1), mapped, self.out.view(self.copies, -1))

    def _folded(self, x: Tensor) -> Tensor:
        """The same where all predictors see the same few inputs: a map of each, all in one product."""
        assert self.into is not None
        weights = self.weight * self.into.view(self.copies, 1, -1)
        if self.out is not None:
            weights = weights * self.out.view(self.copies, -1, 1)
        bias = self.bias if self.out is not None else self.bias.repeat(self.copies)
        return functional.linear(x, weights.flatten(0, 1), bias).view(len(x), self.copies, -1)
