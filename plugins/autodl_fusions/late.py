"""The mean of what each input's own head says; none changes what another says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Fusion
from autodl.space import Choice, Space


class Late(Fusion):
    """A weighted mean, or sum, of the outputs of one head an input, over the inputs that are there.

    Of logits this is the (weighted) mean of log-probabilities: the two differ by one number for all classes of a row,
    which softmax takes away. Where every input is missing a learned vector is returned, zeros at first.

    Args:
        widths: Outputs of each head, all alike.
        weights: ``learned``: each input has a weight, positive, equal at first. ``equal``: all count alike.
        total: ``mean``: weights are divided by their sum over inputs that are there, so that a row with fewer is
            predicted as surely. ``sum``: evidence adds up, as in naive Bayes, so that it is predicted less surely.

    Reference:
        Heskes: Selecting Weighting Factors in Logarithmic Opinion Pools, NIPS 10 (1997) (weighted mean).
        Hinton: Training Products of Experts by Minimizing Contrastive Divergence, Neural Computation 14 (2002) (sum).
    """

    space: ClassVar[Space] = Space(
        weights=Choice(
            "equal", "learned", default="learned", doc="whether inputs count alike or as much as is learned"
        ),
        total=Choice("mean", "sum", doc="whether what inputs say is averaged or added up"),
    )
    heads_first: ClassVar[bool] = True
    additive: ClassVar[bool] = True

    def __init__(self, widths: Mapping[str, int], *, weights: str, total: str) -> None:
        super().__init__()
        self.names = tuple(sorted(widths))
        self.width = widths[self.names[0]]
        self.mean = total == "mean"
        learned = weights == "learned" and not (self.mean and len(widths) == 1)  # the mean of one knows no weight
        self.logits = nn.Parameter(torch.zeros(len(widths))) if learned else None
        self.nothing = nn.Parameter(torch.zeros(self.width))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch 1 outputs}, {input: batch} → batch outputs."""
        said = torch.stack([tokens[name].mean(-2) for name in self.names], -2)  # batch input outputs
        there = torch.stack([present[name] for name in self.names], -1).unsqueeze(-1) > 0
        weights = torch.ones_like(said[..., :1]) if self.logits is None else self.logits.exp().view(1, -1, 1)
        heard = torch.where(there, weights, 0.0)
        fused, total = (torch.where(there, said, 0.0) * heard).sum(-2), heard.sum(-2)
        if self.mean:
            fused = fused / torch.where(total > 0, total, 1.0)
        return torch.where(total > 0, fused, self.nothing)
