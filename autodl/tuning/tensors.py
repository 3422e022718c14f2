"""Tensors in the run folder: how prepared inputs and targets lie on disk, for the driver and for workers.

Apart from ``prepared`` so that a worker starts without pandas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodl.errors import RunError
from autodl.records import InputSpec, Stored, Task
from autodl.training.data import TrainingData, training_data

TARGETS = "targets"


def write_input(path: Path, spec: InputSpec, stored: Stored) -> None:
    """Write one input's tensors and its spec."""
    plain, tensors = spec.to_parts()
    named = {f"spec.{name}": tensor for name, tensor in tensors.items()}
    rows = {"values": stored.values.contiguous(), "present": stored.present.contiguous()}
    save_tensors({**named, **rows}, path, {"spec": json.dumps(plain)})


def read_input(path: Path) -> tuple[InputSpec, Stored]:
    """Read what ``write_input`` wrote."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        plain = json.loads(file.metadata()["spec"])
    spec = {name.removeprefix("spec."): tensor for name, tensor in tensors.items() if name.startswith("spec.")}
    return InputSpec.from_parts(plain, spec), Stored(tensors["values"], tensors["present"])


@dataclass(frozen=True, eq=False)
class Goals:
    """What is predicted, and which rows are for what; positions are those of the inputs' files.

    Attributes:
        targets: ``(rows, …)`` as ``Task`` says, in the user's unit.
        task: What is predicted.
        folds: Training and validation positions of each member of a trial.
        weights: What each row counts while training; None where all count alike.
    """

    targets: np.ndarray
    task: Task
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    weights: np.ndarray | None = None

    @property
    def judged(self) -> np.ndarray:
        """Positions of the rows that trials are judged by, rising."""
        return np.unique(np.concatenate([held for _, held in self.folds]))

    @property
    def judged_targets(self) -> np.ndarray:
        """Their targets."""
        return np.asarray(self.targets[self.judged])


def rows_in_memory(
    paths: Mapping[str, Path],
    goals: Goals,
    device: torch.device,
    folds: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> TrainingData:
    """Read what one configuration trains on.

    Args:
        paths: Input name → the file that ``write_input`` wrote.
        goals: What is predicted.
        device: Where to.
        folds: Training and validation positions of each member; None takes the goals' own.
    """
    read = {name: read_input(path) for name, path in paths.items()}
    return training_data(
        {name: stored for name, (_, stored) in read.items()},
        {name: spec for name, (spec, _) in read.items()},
        goals.targets,
        goals.task,
        goals.folds if folds is None else folds,
        device=device,
        weights=goals.weights,
    )


def write_goals(path: Path, goals: Goals) -> None:
    """Write what ``read_goals`` reads."""
    tensors = {TARGETS: torch.as_tensor(goals.targets)}
    if goals.weights is not None:
        tensors["weights"] = torch.as_tensor(goals.weights)
    for number, fold in enumerate(goals.folds):
        for part, positions in zip(("train", "validation"), fold, strict=True):
            tensors[f"{part}.{number}"] = torch.as_tensor(np.ascontiguousarray(positions, dtype=np.int64))
    save_tensors(tensors, path, {"task": json.dumps(goals.task.to_json()), "folds": str(len(goals.folds))})


def read_goals(path: Path) -> Goals:
    """Read targets, task, folds and weights."""
    with safe_open(str(path), framework="pt") as file:
        meta = file.metadata()
        tensors = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118  (no mapping)
    folds = tuple((tensors[f"train.{n}"], tensors[f"validation.{n}"]) for n in range(int(meta["folds"])))
    return Goals(tensors[TARGETS], Task.from_json(json.loads(meta["task"])), folds, tensors.get("weights"))


def save_tensors(tensors: Mapping[str, Tensor], path: Path, meta: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, str(temporary), dict(meta or {})
        )
        temporary.replace(path)
    except Exception as error:  # safetensors has an error class of its own for a full disk
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} must be writable, however: {error}; free some space, then --resume") from error
