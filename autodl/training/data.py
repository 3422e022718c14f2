"""The rows that packs train on: on the device once, drawn by index, no DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autodl.contracts import Inputs
from autodl.records import InputSpec, Stored, Task
from autodl.tasks import TargetScale

ENTRIES_PER_CHUNK = 4_000_000  # input numbers that all members together see at once when predicting


@dataclass(frozen=True, eq=False)
class Fold:
    """Which rows one member of a trial is fitted on, and which it is judged by; positions on the device."""

    train: Tensor
    validation: Tensor


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything a pack reads.

    Attributes:
        stored: Each input as kept in memory, all rows.
        targets: ``(rows, …)``: class index (int64), or 0/1 targets.
        seen: Scale name → ``(rows, …)``: numbers to predict as networks see them; empty where none are.
        weights: ``(rows,)``: what each row counts in the loss; None where all count alike.
        folds: One a member of each trial.
        specs: What each input looks like.
        task: What is predicted.
        truth: ``(rows, …)``: targets in the user's own unit, for the metric.
        dtype: float32, or float64 for tests.
    """

    stored: Mapping[str, Stored]
    targets: Tensor
    seen: Mapping[str, Tensor]
    weights: Tensor | None
    folds: tuple[Fold, ...]
    specs: Mapping[str, InputSpec]
    task: Task
    truth: np.ndarray
    dtype: torch.dtype = torch.float32

    @property
    def train_rows(self) -> int:
        """Rows that every member trains on in an epoch: as many as the smallest fold has."""
        return min(len(fold.train) for fold in self.folds)

    @cached_property
    def judged(self) -> Tensor:
        """Positions of the rows that epochs are judged by, rising."""
        positions: Tensor = torch.unique(torch.cat([fold.validation for fold in self.folds]))
        return positions

    @cached_property
    def judged_truth(self) -> np.ndarray:
        """Their targets, in the user's own unit."""
        return np.asarray(self.truth[self.judged.cpu().numpy()])

    @cached_property
    def validation_index(self) -> Tensor:
        """Each fold's validation rows, the short ones filled up with their last. Shape: folds rows."""
        longest = max(len(fold.validation) for fold in self.folds)
        filled = [
            torch.cat([fold.validation, fold.validation[-1:].expand(longest - len(fold.validation))])
            for fold in self.folds
        ]
        return torch.stack(filled)

    @cached_property
    def _order(self) -> Tensor:
        """Places of the first fold's validation rows in rising order."""
        return torch.argsort(self.folds[0].validation)

    @property
    def class_counts(self) -> Tensor:
        """Training rows of each class; empty unless a class is predicted."""
        if not self.task.is_classification:
            return torch.empty(0)
        rows = torch.unique(torch.cat([fold.train for fold in self.folds]))
        return torch.bincount(self.targets[rows], minlength=self.task.n_outputs)

    def batch(self, index: Tensor | slice) -> Inputs:
        """Rows as encoders see them; whole missing ones are all NaN. Shape: index → {input: *index *shape}."""
        return {name: as_input(self.stored[name], self.specs[name], self.dtype, index) for name in sorted(self.stored)}

    def goals(self, index: Tensor, scales: Sequence[str]) -> Tensor:
        """What the loss compares with; each member sees numbers in its own scale. Shape: members batch → the same …."""
        if not self.seen:
            return self.targets[index]
        if len(set(scales)) == 1:
            return self.seen[scales[0]][index]
        return torch.stack([self.seen[scale][rows] for scale, rows in zip(scales, index, strict=True)])

    def collect(self, predictions: Tensor) -> Tensor:
        """Each fold's predictions for ``validation_index`` → one a judged row, the mean where there are several.

        Shape: folds rows … → judged ….
        """
        if len(self.folds) == 1:
            return predictions[0][self._order]
        rest = predictions.shape[2:]
        total = predictions.new_zeros(len(self.judged), *rest)
        count = predictions.new_zeros(len(self.judged))
        for fold, own in zip(self.folds, predictions, strict=True):
            place = torch.searchsorted(self.judged, fold.validation)
            total.index_add_(0, place, own[: len(place)])
            count.index_add_(0, place, torch.ones_like(place, dtype=count.dtype))
        return total / count.view(-1, *[1] * len(rest))

    def chunks(self, rows: int, members: int) -> Iterator[slice]:
        """Slices of so many rows, as long as memory bears where that many members look at rows of their own."""
        widest = max(int(np.prod(spec.shape)) for spec in self.specs.values())
        size = int(np.clip(ENTRIES_PER_CHUNK // (members * widest), 64, 8192))
        for start in range(0, rows, size):
            yield slice(start, start + size)


def as_input(stored: Stored, spec: InputSpec, dtype: torch.dtype, index: Tensor | slice = slice(None)) -> Tensor:
    """Some rows of one input as an encoder sees them; whole missing ones are all NaN. Shape: → *index *shape."""
    x = stored.values[index] if spec.table is None else spec.table[stored.values[index].long()]
    x = x.to(dtype)
    if spec.offset is not None:
        x = x - spec.offset
    if spec.scale is not None:
        x = x * spec.scale
    if stored.gaps:
        there = stored.present[index]
        x = x.masked_fill(~there.view(*there.shape, *[1] * len(spec.shape)), torch.nan)
    return x


def training_data(
    stored: Mapping[str, Stored],
    specs: Mapping[str, InputSpec],
    targets: np.ndarray,
    task: Task,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    weights: np.ndarray | None = None,
) -> TrainingData:
    """Move what a pack reads to the device, once.

    Args:
        stored: Each input, all rows.
        specs: What each input looks like.
        targets: ``(rows, …)`` as ``Task`` says, in the target's own unit.
        task: What is predicted.
        folds: Positions of the training and of the validation rows of each member of a trial.
        device: Where to.
        dtype: What encoders compute in.
        weights: ``(rows,)``: what each row counts in the loss; None where all count alike.
    """

    def moved(values: np.ndarray, kind: torch.dtype) -> Tensor:
        return torch.as_tensor(np.require(values, requirements="W"), dtype=kind, device=device)

    scales = (task.scales or (TargetScale(),)) if task.is_numeric else ()
    return TrainingData(
        stored={name: Stored(s.values.to(device), s.present.to(device)) for name, s in stored.items()},
        targets=moved(targets, torch.int64 if task.is_classification else dtype),
        seen={scale.name: moved(scale.forward(targets), dtype) for scale in scales},
        weights=None if weights is None else moved(weights, dtype),
        folds=tuple(Fold(moved(train, torch.int64), moved(held, torch.int64)) for train, held in folds),
        specs={name: spec_on(spec, device, dtype) for name, spec in specs.items()},
        task=task,
        truth=np.asarray(targets),
        dtype=dtype,
    )


def spec_on(spec: InputSpec, device: torch.device, dtype: torch.dtype) -> InputSpec:
    """The same spec with all that makes batches where batches are made; a table keeps its type, as it may be large."""

    def moved(tensor: Tensor | None, dtype: torch.dtype | None = dtype) -> Tensor | None:
        return None if tensor is None else tensor.to(device=device, dtype=dtype)

    return replace(
        spec,
        offset=moved(spec.offset),
        scale=moved(spec.scale),
        table=moved(spec.table, None),
        summary=moved(spec.summary, None),
    )


def predictions(outputs: Tensor, task: Task, scale: str = "none", copies: int = 1) -> Tensor:
    """Outputs → predictions as ``Task`` says; quantiles are put in order, so that they never cross.

    Shape: … outputs, or … copies outputs where a network has several heads → … classes, … targets or ….

    Reference:
        Chernozhukov, Fernández-Val, Galichon: Quantile and Probability Curves without Crossing, Econometrica 78
        (2010), for putting quantiles in order.
    """
    if not task.is_numeric:
        likely = outputs.softmax(-1) if task.is_classification else outputs.sigmoid()
        return likely.mean(-2) if copies > 1 else likely
    numbers = in_unit(outputs.mean(-2) if copies > 1 else outputs, task.scale(scale))
    if task.kind == "quantile":
        return numbers.sort(-1).values
    return numbers.squeeze(-1) if task.kind == "regression" else numbers


def in_unit(outputs: Tensor, scale: TargetScale) -> Tensor:
    """``TargetScale.inverse`` for tensors. Shape: … numbers → the same."""
    low, high, size, centre = (outputs.new_tensor(v) for v in (scale.low, scale.high, scale.scale, scale.location))
    seen = outputs.clamp(low, high) * size + centre
    return seen.exp() - scale.shift if scale.name == "log" else seen
