"""The record of a forward pass: its operations in order, and the values between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_unflatten

from autodl_explainers._forms import Form, name_of, tensors_of


@dataclass(frozen=True)
class Step:
    """One operation on tensors that depend on the inputs.

    Attributes:
        op: Its name in torch's core, as ``relu`` or ``addmm``.
        path: Of the innermost module that ran, as ``encoders.0.layers.3``; empty at the top.
        kind: That module's class.
        shape: Of what it returned.
        dependents: Operands that depend on the inputs.
        form: What it is in these operands; ``product`` is one of two of them, ``other`` what no rule is known for.
        calls: How often the module ran in the pass.
    """

    op: str
    path: str
    kind: type[nn.Module] | None
    shape: tuple[int, ...]
    dependents: int
    form: Form
    calls: int


@dataclass(frozen=True)
class Slot:
    """Stands in a node's arguments for a value that depends on the inputs."""

    number: int


@dataclass(eq=False)
class Node:
    """An operation with its arguments; ``operands`` are (position among the flat arguments, slot)."""

    func: Any
    leaves: list[Any]
    tree: TreeSpec
    operands: tuple[tuple[int, int], ...]
    outs: tuple[int, ...]
    form: Form
    path: str
    kind: type[nn.Module] | None

    @property
    def name(self) -> str:
        """The operation's name."""
        return name_of(self.func)

    def arguments(self, values: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments with values in the slots."""
        leaves = [values[leaf.number] if isinstance(leaf, Slot) else leaf for leaf in self.leaves]
        return tree_unflatten(leaves, self.tree)  # type: ignore[no-any-return]

    def run(self, values: Mapping[int, Any]) -> tuple[Tensor, ...]:
        """The operation on other values: its tensors."""
        args, kwargs = self.arguments(values)
        return tuple(tensors_of(self.func(*args, **kwargs)))


@dataclass(eq=False)
class Tape:
    """A pass: its nodes in order, the value in each slot, and which slots are inputs and output.

    Attributes:
        output: The slot of the answer; None where it does not depend on the inputs.
        answer: What the model returned.
        calls: Module path → how often it ran.
    """

    nodes: list[Node] = field(default_factory=list)
    values: dict[int, Tensor] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    output: int | None = None
    answer: Tensor = field(default_factory=lambda: torch.empty(0))
    calls: Counter[str] = field(default_factory=Counter)

    def steps(self) -> tuple[Step, ...]:
        """The nodes in words."""
        return tuple(self.step(node) for node in self.nodes)

    def step(self, node: Node) -> Step:
        """One node in words."""
        shape = tuple(self.values[node.outs[0]].shape) if node.outs else ()
        calls = self.calls[node.path]
        return Step(node.name, node.path, node.kind, shape, len(node.operands), node.form, calls)

    def outline(self) -> list[tuple[Any, ...]]:
        """What two passes through the same operations have in common."""
        return [(node.func, node.operands, node.outs) for node in self.nodes]

    @property
    def bytes(self) -> int:
        """What its values take, those that share memory once."""
        memory = [value.untyped_storage() for value in self.values.values()]
        return sum({each.data_ptr(): each.nbytes() for each in memory}.values())
