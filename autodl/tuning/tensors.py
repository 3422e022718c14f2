"""Tensors in the run folder: how prepared inputs and targets lie on disk, for the driver and for workers.

Apart from ``prepared`` so that a worker starts without pandas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodl.errors import RunError
from autodl.records import InputSpec, Stored, Task

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


def read_targets(path: Path) -> tuple[np.ndarray, Task, int]:
    """Read the targets, the task and how many of the rows are for training."""
    with safe_open(str(path), framework="pt") as file:
        meta = file.metadata()
        targets = file.get_tensor(TARGETS).numpy()
    return targets, Task.from_json(json.loads(meta["task"])), int(meta["train"])


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
