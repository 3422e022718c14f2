"""Cross-entropy of several labels that hold or do not, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from autodl.contracts import Loss
from autodl.records import TaskKind
from autodl.space import Float, Space


class BinaryCrossEntropy(Loss):
    """-log p of what is true of each label under a sigmoid, the mean over labels.

    Reference:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision,
        arXiv 1512.00567, section 7, for label smoothing, here between the two answers to each label.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"multilabel"})
    space: ClassVar[Space] = Space(
        label_smoothing=Float(
            *(0.0, 0.2),
            per_member=True,
            default=0.0,
            limits=(0.0, 0.99),
            doc="share of each label's target that is spread evenly over yes and no",
        ),
        positive_weight=Float(
            *(1.0, 10.0),
            log=True,
            per_member=True,
            default=1.0,
            limits=(0.01, 1e4),
            doc="what a label that holds counts, against one that does not: more than 1 lifts rare labels",
        ),
    )

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a label."""
        smoothing, weight = (settings[name].unsqueeze(-1) for name in ("label_smoothing", "positive_weight"))
        held = targets + smoothing * (0.5 - targets)
        costs = weight * held * functional.softplus(-outputs) + (1 - held) * functional.softplus(outputs)
        return costs.mean(-1)
