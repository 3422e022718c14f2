"""What a user may ask, checked: explainers, settings, outputs, rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from autodl import registry
from autodl.attribution import MEMORY, Quantity
from autodl.calibration import LEAST
from autodl.contracts import Explainer
from autodl.errors import ExplanationError, unknown_name
from autodl.records import Task

if TYPE_CHECKING:
    import pandas as pd

PlayerKind: TypeAlias = Literal["auto", "columns", "parts", "bands", "segments", "inputs"]
USUAL_SECONDS = 60.0
AUTO = "shapley"
"""What ``auto`` takes: the one method that is right for any model; exact with few players."""


@dataclass(frozen=True)
class Request:
    """What a user wants to know.

    Attributes:
        explainer: A registered name; ``auto`` takes Shapley values.
        outputs: Names of the outputs to explain; None for all.
        quantity: ``probability``, ``number`` or ``score``; None for what the predictor says.
        players: ``columns``; ``parts`` of them, which are segments of images, words of texts and bands of time of
            sounds, beside the other columns; ``bands``, the same with each band of time divided into three of
            frequencies; image ``segments`` alone beside columns; whole ``inputs``; ``auto`` takes parts where there are
            some.
        trial: The one member to explain; None for the whole predictor.
        background: Training rows to compare with, at most; None for as many as time bears.
        settings: Of the explainer.
        concepts: Name → rows that show it, as ``autodl.data`` casts them.
        seconds: Wall time for methods that can stop early: for more of it errors are smaller; None for no limit.
        memory: Bytes that may be held at a time.
        seed: Of all chance.
        force: Whether to answer in spite of objections, and say so.
    """

    explainer: str = "auto"
    outputs: Sequence[str] | None = None
    quantity: Quantity | None = None
    players: PlayerKind = "auto"
    trial: int | None = None
    background: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    concepts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    seconds: float | None = USUAL_SECONDS
    memory: int = MEMORY
    seed: int = 0
    force: bool = False


def chosen_rows(rows: int | Sequence[int] | None, count: int) -> np.ndarray:
    """Positions of the rows to explain: all, so many that are spread evenly, or those that are named.

    Raises:
        ExplanationError: A position is not there.
    """
    if rows is None:
        return np.arange(count)
    if isinstance(rows, int):
        return np.unique(np.linspace(0, count - 1, min(rows, count)).round().astype(int)) if count else np.arange(0)
    chosen = np.asarray(rows, dtype=int)
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if len(wrong):
        raise ExplanationError(f"rows must be positions below {count}, however {int(wrong[0])} came; change it")
    return chosen


def build(name: str, settings: Mapping[str, Any]) -> Explainer:
    """The explainer of that name, its settings checked.

    Raises:
        UnknownNameError: No explainer, or no setting of it, is called so.
        ExplanationError: A setting has a value that is not allowed.
    """
    kind = registry.explainers.load(name)
    for key, value in settings.items():
        if key not in kind.space:
            raise unknown_name(f"setting of {name}", key, kind.space)
        if not kind.space[key].allows(value):
            raise ExplanationError(
                f"setting '{key}' of {name} must be one of its values ({kind.space[key].doc}), however {value!r} came; "
                "see autodl components explainers"
            )
    return kind(**settings)


def loss_of(task: Task, quantity: Quantity) -> Callable[[Tensor, Tensor], Tensor]:
    """What a prediction costs: minus its log probability, or the squared error. Shape: rows …, rows … → rows.

    Raises:
        ExplanationError: Standardised numbers cannot be compared with targets.
    """
    if task.is_numeric and quantity == "score":
        raise ExplanationError("an error is that of numbers in the target's unit, however scores came; take 'number'")

    def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
        logs = outputs.log_softmax(1) if quantity == "score" else outputs.clamp_min(LEAST).log()
        return -logs.gather(1, targets.unsqueeze(1)).squeeze(1)

    def binary(outputs: Tensor, targets: Tensor) -> Tensor:
        likely = outputs.sigmoid() if quantity == "score" else outputs
        return -torch.where(targets > 0, likely, 1 - likely).clamp_min(LEAST).log().mean(1)

    def squared(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets.view(len(targets), -1)).square().mean(1)

    if task.is_classification:
        return cross_entropy
    return binary if task.kind == "multilabel" else squared


def positions(names: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    """Those of some outputs, or of all; see ``Request.outputs``.

    Raises:
        UnknownNameError: No output is called so.
    """
    for name in wanted or ():
        if name not in names:
            raise unknown_name("output", name, names)
    return [names.index(name) for name in wanted] if wanted else list(range(len(names)))


def first_focus(task: Task, targets: Sequence[int], outputs: Sequence[Tensor | None]) -> int:
    """The output in view at first: the positive class of two, the one said most often of more; the middle quantile."""
    if task.kind == "quantile":
        return int(np.argmin([abs(task.quantiles[target] - 0.5) for target in targets]))
    if len(targets) < 2 or not task.is_classification:
        return 0
    if len(targets) == 2:
        return 1
    told = torch.stack([each for each in outputs if each is not None], dim=1).argmax(1)
    return int(told.bincount(minlength=len(targets)).argmax())
