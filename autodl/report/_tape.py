"""A network as a flat list of simple steps that a page can take: what ``tape.js`` runs."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Value:
    """What one step leaves behind, or a constant, or an input: numbers in a slot, row-major.

    Attributes:
        slot: Where the numbers lie.
        shape: How the network sees them.
    """

    slot: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)


@dataclass
class Tape:
    """Constants, inputs and steps; every step names its kind, its slot, the slots that it reads, its parameters.

    Steps know no shapes but those in their parameters:

    * ``gather``: entries by position, told as strides or one by one; views, transpositions, broadcasts.
    * ``map``: a function of each number. ``zip``: of two numbers; a slot of one number goes with all.
    * ``where``: by a condition. ``matmul``: batch · (rows inner) · (inner columns). ``join``: side by side.
    * ``reduce``: a function of each run of some length, to one number. ``along``: to as many numbers.
    * ``pick``: rows of a table, by positions that are computed.

    Attributes:
        steps: In order.
        constants: Slot → its float32 numbers, or one Python number.
        inputs: Input name → its slot.
        frozen: Slot → the numbers of each row, where they depend on what no step of this tape computes. Shape: rows n
        output: The slot of the answer.
        slots: How many there are.
    """

    steps: list[list[Any]] = field(default_factory=list)
    constants: dict[int, np.ndarray | float] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    frozen: dict[int, np.ndarray] = field(default_factory=dict)
    output: int = 0
    slots: int = 0

    def __post_init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def n_bytes(self) -> int:
        """What its numbers take as text, and its steps about."""
        numbers = sum(each.size for each in self.constants.values() if isinstance(each, np.ndarray))
        numbers += sum(each.size for each in self.frozen.values())
        return numbers * 16 // 3 + sum(len(str(step)) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as ``tape.js`` reads it."""
        constants = {
            str(slot): packed(each) if isinstance(each, np.ndarray) else _number(each)
            for slot, each in self.constants.items()
        }
        return {
            "slots": self.slots,
            "constants": constants,
            "inputs": self.inputs,
            "frozen": {str(slot): [packed(row) for row in rows] for slot, rows in self.frozen.items()},
            "steps": self.steps,
            "output": self.output,
        }

    def slot(self, shape: Sequence[int]) -> Value:
        """A new slot."""
        self.slots += 1
        return Value(self.slots - 1, tuple(shape))

    def step(self, kind: str, shape: Sequence[int], reads: Sequence[Value], *parameters: Any) -> Value:
        """Add a step. Its result has this shape."""
        out = self.slot(shape)
        self.steps.append([kind, out.slot, [each.slot for each in reads], *map(_number, parameters)])
        return out

    def constant(self, given: Tensor | float) -> Value:
        """Constants that are alike share a slot; tensors are kept as float32."""
        if not isinstance(given, Tensor):
            return Value(self._kept(repr(float(given)), float(given)), ())
        numbers = given.detach().cpu().to(torch.float32).contiguous().numpy().reshape(-1)
        return Value(self._kept(hashlib.sha256(numbers.tobytes()).hexdigest(), numbers), tuple(given.shape))

    def gather(self, value: Value, index: np.ndarray) -> Value:
        """Entries of a value by flat position; no step where they lie as they did. Shape: any → the index's."""
        if index.size == value.size and np.array_equal(index.ravel(), np.arange(value.size)):
            return Value(value.slot, index.shape)
        if (found := strides(index)) is not None:
            return self.step("gather", index.shape, [value], *found)
        return self.step("gather", index.shape, [value], index.ravel().tolist())

    def broadcast(self, value: Value, shape: Sequence[int]) -> Value:
        """The value as if it had this shape; a single number stays alone."""
        shape = tuple(shape)
        if value.size == 1 or value.shape == shape:
            return value
        index = np.arange(value.size).reshape(value.shape)
        return self.gather(value, np.broadcast_to(index, shape))

    def map(self, function: str, value: Value, *parameters: float) -> Value:
        """A function of each number."""
        return self.step("map", value.shape, [value], function, list(map(_number, parameters)))

    def zip(self, function: str, left: Value | float, right: Value | float) -> Value:
        """A function of two numbers, broadcast."""
        pair = [each if isinstance(each, Value) else self.constant(each) for each in (left, right)]
        shape = np.broadcast_shapes(*(each.shape for each in pair))
        return self.step("zip", shape, [self.broadcast(each, shape) for each in pair], function)

    def moved(self, value: Value, axes: Sequence[int]) -> Value:
        """The axes in another order."""
        return self.gather(value, np.arange(value.size).reshape(value.shape).transpose(axes))

    def _kept(self, key: str, numbers: np.ndarray | float) -> int:
        if key not in self._known:
            self._known[key] = self.slot(()).slot
            self.constants[self._known[key]] = numbers
        return self._known[key]


def packed(numbers: np.ndarray) -> str:
    """Float32 numbers as base64, lowest byte first."""
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode("ascii")


def strides(index: np.ndarray) -> tuple[int, list[int], list[int]] | None:
    """Offset, shape and strides that give these positions, where any do."""
    if index.size == 0:
        return None
    start = int(index.flat[0])
    steps = []
    rebuilt = np.full(index.shape, start)
    for axis, size in enumerate(index.shape):
        second = tuple(1 if each == axis else 0 for each in range(index.ndim))
        step = int(index[second]) - start if size > 1 else 0
        steps.append(step)
        rebuilt = rebuilt + step * np.arange(size).reshape([-1 if each == axis else 1 for each in range(index.ndim)])
    return (start, list(index.shape), steps) if np.array_equal(rebuilt, index) else None


def _number(value: Any) -> Any:
    """JSON has no word for numbers that are not finite; JavaScript's ``Number`` reads these."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
