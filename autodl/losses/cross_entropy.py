"""Cross-entropy, with label smoothing and class weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from autodl.contracts import Loss
from autodl.records import Task, TaskKind
from autodl.space import Float, Space


class CrossEntropy(Loss):
    """-log p of the true class under a softmax, mixed with the mean over all classes, times the weight of its class.

    The weight of class c is (rows / rows of c) to the power ``class_weight``, scaled so that its mean over the training
    rows is 1: neither the learning rate nor a batch of the usual mix of classes notices it. A class without training
    rows counts as if it had one.

    Reference:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision,
        arXiv 1512.00567, section 7, for label smoothing.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({"binary", "multiclass"})
    space: ClassVar[Space] = Space(
        label_smoothing=Float(
            *(0.0, 0.2),
            per_member=True,
            default=0.0,
            limits=(0.0, 0.99),
            doc="share of the target that is spread evenly over all classes",
        ),
        class_weight=Float(
            *(0.0, 1.0),
            per_member=True,
            default=0.0,
            limits=(0.0, 2.0),
            doc="how much rare classes are lifted: 0 = all rows count alike, 1 = all classes count alike",
        ),
    )

    def __init__(self, task: Task, class_counts: Tensor) -> None:
        super().__init__(task, class_counts)
        counts = class_counts.to(torch.get_default_dtype())
        self._share = counts / counts.sum().clamp_min(1)
        self._log_rarity = -(counts.clamp_min(1) / counts.sum().clamp_min(1)).log()

    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: as in the contract, with one output a class."""
        log_probabilities = torch.log_softmax(outputs, dim=-1)
        of_target = log_probabilities.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        mixed = torch.lerp(of_target, log_probabilities.mean(-1), settings["label_smoothing"])
        return -mixed * self.class_weights(settings["class_weight"]).expand(*targets.shape[:-1], -1).gather(-1, targets)

    def class_weights(self, exponent: Tensor) -> Tensor:
        """Return what a row of each class counts. Shape: members 1 → members classes."""
        weights = (exponent * self._log_rarity.to(exponent)).exp()
        return weights / (weights * self._share.to(exponent)).sum(-1, keepdim=True)
