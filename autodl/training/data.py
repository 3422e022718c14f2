"""The rows that packs train on: on the device once, drawn by index, no DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from autodl.contracts import Inputs
from autodl.records import InputSpec, Stored, Task

ENTRIES_PER_CHUNK = 4_000_000  # input numbers that all members together see at once when predicting


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows on the device.

    Attributes:
        stored: Each input as kept in memory.
        targets: ``(rows,)``: class index (int64) or standardised number.
    """

    stored: Mapping[str, Stored]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor) -> Rows:
        """Some of the rows, by position."""
        stored = {name: Stored(each.values[index], each.present[index]) for name, each in self.stored.items()}
        return Rows(stored, self.targets[index])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything a pack reads.

    Attributes:
        train: Rows that weights are fitted on.
        validation: Rows that epochs are judged by.
        specs: What each input looks like.
        task: What is predicted.
        validation_targets: ``(rows,)``: class index, or number in the target's own unit, for the metric.
        dtype: float32, or float64 for tests.
    """

    train: Rows
    validation: Rows
    specs: Mapping[str, InputSpec]
    task: Task
    validation_targets: np.ndarray
    dtype: torch.dtype = torch.float32

    @property
    def class_counts(self) -> Tensor:
        """Training rows of each class; empty for regression."""
        if not self.task.is_classification:
            return torch.empty(0)
        return torch.bincount(self.train.targets, minlength=self.task.n_outputs)

    def batch(self, rows: Rows, index: Tensor | slice) -> Inputs:
        """Rows as encoders see them; whole missing ones are all NaN. Shape: index → {input: *index *shape}."""
        return {name: as_input(rows.stored[name], self.specs[name], self.dtype, index) for name in sorted(rows.stored)}

    def chunks(self, rows: Rows, members: int) -> Iterator[Inputs]:
        """All rows in order, as many at a time as memory bears."""
        widest = max(int(np.prod(spec.shape)) for spec in self.specs.values())
        size = int(np.clip(ENTRIES_PER_CHUNK // (members * widest), 64, 8192))
        for start in range(0, len(rows), size):
            yield self.batch(rows, slice(start, start + size))


def as_input(stored: Stored, spec: InputSpec, dtype: torch.dtype, index: Tensor | slice = slice(None)) -> Tensor:
    """Some rows of one input as an encoder sees them; whole missing ones are all NaN. Shape: → *index *shape."""
    x = stored.values[index].to(dtype)
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
    parts: Sequence[np.ndarray],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> TrainingData:
    """Move what a pack reads to the device, once.

    Args:
        stored: Each input, all rows.
        specs: What each input looks like.
        targets: ``(rows,)``: class index or number, in the target's own unit.
        task: What is predicted.
        parts: Positions of the training and of the validation rows.
        device: Where to.
        dtype: What encoders compute in.
    """
    if task.is_classification:
        known = torch.as_tensor(targets, dtype=torch.int64, device=device)
    else:
        known = torch.as_tensor((targets - task.location) / task.scale, dtype=dtype, device=device)
    whole = Rows({name: Stored(s.values.to(device), s.present.to(device)) for name, s in stored.items()}, known)
    train, validation = (whole.take(torch.as_tensor(part, device=device)) for part in parts)
    return TrainingData(
        train=train,
        validation=validation,
        specs={name: spec_on(spec, device, dtype) for name, spec in specs.items()},
        task=task,
        validation_targets=np.asarray(targets)[parts[1]],
        dtype=dtype,
    )


def spec_on(spec: InputSpec, device: torch.device, dtype: torch.dtype) -> InputSpec:
    """The same spec with offset and scale where batches are made."""

    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(device=device, dtype=dtype)

    return replace(spec, offset=moved(spec.offset), scale=moved(spec.scale))


def predictions(outputs: Tensor, task: Task) -> Tensor:
    """Outputs → probabilities, or numbers in the target's own unit. Shape: … outputs → … classes, or … ."""
    if task.is_classification:
        return outputs.softmax(-1)
    return outputs.squeeze(-1) * task.scale + task.location
