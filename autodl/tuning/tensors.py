"""Tensors in the run folder: how prepared inputs and targets lie on disk, for the driver and for workers.

Apart from ``prepared`` so that a worker starts without pandas.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodl.errors import PluginError, RunError
from autodl.records import InputSpec, Stored, Task
from autodl.training.data import TrainingData, training_data

Kind: TypeAlias = tuple[torch.dtype, tuple[int, ...]]

TARGETS = "targets"
VALUES, PRESENT = "values", "present"
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_input(path: Path, spec: InputSpec, parts: Iterable[Stored], rows: int, fingerprint: str = "") -> None:
    """Write one input's tensors and its spec, whole or not at all; one part of the rows after another.

    No more than two parts are in memory at a time: the one that is written and the one that is made.

    Args:
        path: Where.
        spec: What the input looks like.
        parts: The rows, some at a time, at least one.
        rows: How many they are together.
        fingerprint: Of what the file is made of; ``fingerprint_of`` tells it.

    Raises:
        RunError: The disk is full, or the place cannot be written.
        PluginError: The parts do not fit together.
    """
    plain, tensors = spec.to_parts()
    parts = iter(parts)
    first = next(parts)
    present = torch.zeros(rows, dtype=torch.bool)
    others = {**{f"spec.{name}": tensor for name, tensor in tensors.items()}, PRESENT: present}
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in others.items()}
    kinds[VALUES] = first.values.dtype, (rows, *first.values.shape[1:])
    part: Stored | None = first
    del first  # so that it is not held while the others are made
    header, places = _layout(kinds, {"spec": json.dumps(plain), "fingerprint": fingerprint})
    with _put_in_place(path) as file:
        file.write(header)
        file.seek(places[VALUES])
        start = 0
        while part is not None:
            stop = start + len(part.values)
            if stop > rows or (part.values.dtype, (rows, *part.values.shape[1:])) != kinds[VALUES]:
                raise PluginError(_misfit(kinds[VALUES], part.values, stop))
            present[start:stop] = part.present
            _write(file, part.values)
            start, part = stop, next(parts, None)
        if start < rows:
            raise PluginError(_misfit(kinds[VALUES], present[:0], start))
        for name, tensor in others.items():
            file.seek(places[name])
            _write(file, tensor)


def read_input(path: Path) -> tuple[InputSpec, Stored]:
    """Read what ``write_input`` wrote; all of it is mapped into memory, so that processes share what they look at.

    Mapped pages are read when rows are first looked at, and given back where memory is short.
    """
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        plain = json.loads(file.metadata()["spec"])
    spec = {name.removeprefix("spec."): tensor for name, tensor in tensors.items() if name.startswith("spec.")}
    return InputSpec.from_parts(plain, spec), Stored(tensors[VALUES], tensors[PRESENT])


def fingerprint_of(path: Path) -> str | None:
    """What ``write_input`` was told that the file is made of; None where there is no whole file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return str(file.metadata().get("fingerprint"))
    except (OSError, SafetensorError):
        return None


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
        raise _unwritable(path, error) from error


def _layout(kinds: Mapping[str, Kind], meta: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """The start of a safetensors file, and where in the file each tensor begins; wide numbers first, so that all lie
    at multiples of their size.

    Reference:
        The format: eight bytes that say how long the header is, the header as JSON, the tensors' bytes one after
        another. https://huggingface.co/docs/safetensors
    """
    entries: dict[str, object] = {"__metadata__": dict(meta)}
    places = {}
    end = 0
    for name, (dtype, shape) in sorted(kinds.items(), key=lambda item: (-item[1][0].itemsize, item[0])):
        places[name], end = end, end + math.prod(shape) * dtype.itemsize
        entries[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [places[name], end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + place for name, place in places.items()}


def _write(file: BinaryIO, tensor: Tensor) -> None:
    file.write(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


@contextmanager
def _put_in_place(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which comes to its place when it is whole, or is removed."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def _misfit(kind: Kind, values: Tensor, rows: int) -> str:
    dtype, shape = kind
    came = (
        f"{values.dtype} {tuple(values.shape)} came after {rows - len(values)} rows" if len(values) else f"{rows} came"
    )
    return (
        f"transform must return the rows that came, all of one type and shape, {dtype} {shape} together, however "
        f"{came}; mend the modality"
    )


def _unwritable(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} must be writable, however: {error}; free some space, then --resume")
