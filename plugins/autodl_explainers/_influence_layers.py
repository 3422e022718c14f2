"""Layers with weights, in the order in which they are called; what passes by them, and gradients there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from autodl.attribution import Question

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Layer:
    """A module with a matrix of weights, or a bank of filters.

    Attributes:
        name: As the network calls it.
        module: The module.
        calls: How often one forward pass calls it.
        maps: Whether it answers with maps: batch channels positions.
        vectors: Whether it is called with vectors: batch width.
        before: Shape of a row of the last maps that the network made before it; None without.
    """

    name: str
    module: nn.Module
    calls: int
    maps: bool
    vectors: bool
    before: tuple[int, ...] | None = None


def layers(question: Question) -> list[list[Layer]]:
    """For each network its layers with weights, by their last call in a forward pass of one background row."""
    assert isinstance(question.model, nn.Module)
    logs = [_Log(network) for network in question.networks or (question.model,)]
    try:
        with torch.no_grad():
            question.model({name: x[:1] for name, x in question.background.items()})
    finally:
        for log in logs:
            log.close()
    return [list(log.found.values()) for log in logs]


@dataclass(frozen=True, eq=False)
class Place:
    """Where to look: at what a module answers, or at what it is called with. It is called once in a forward pass."""

    module: nn.Module
    into: bool = False


class Caught:
    """While open, what passes by some places is a leaf, from which alone gradients are taken.

    Args:
        places: Where to look.

    Attributes:
        inputs: What each module was called with, without its history.
        leaves: What passed by each place, with no history and a gradient of its own.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._handles: list[RemovableHandle] = []
        self.inputs: list[Tensor] = [torch.empty(0)] * len(places)
        self.leaves: list[Tensor] = [torch.empty(0)] * len(places)

    def __enter__(self) -> Caught:
        for position, place in enumerate(self._places):
            self._handles.append(place.module.register_forward_pre_hook(self._enter(position, place.into)))
            if not place.into:
                self._handles.append(place.module.register_forward_hook(self._leave(position)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, position: int, into: bool) -> Any:
        def look(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            self.inputs[position] = args[0].detach()
            return (self._leaf(position, args[0]), *args[1:]) if into else args

        return look

    def _leave(self, position: int) -> Any:
        return lambda _, args, output: self._leaf(position, output)

    def _leaf(self, position: int, x: Tensor) -> Tensor:
        self.leaves[position] = x.detach().requires_grad_()
        return self.leaves[position].clone()  # what follows may work in place


def gradients(caught: Caught, values: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """For each of some numbers a row the gradient at each place. Shape: each batch → as the leaves."""
    found = []
    for position, value in enumerate(values):
        keep = position + 1 < len(values)
        found.append(
            torch.autograd.grad(
                value.sum(), caught.leaves, retain_graph=keep, allow_unused=True, materialize_grads=True
            )
        )
    return found


class _Log:
    """Notes which layers of a network are called, until it is closed."""

    def __init__(self, network: nn.Module) -> None:
        self.found: dict[str, Layer] = {}
        self._maps: tuple[int, ...] | None = None
        self._handles = [
            module.register_forward_hook(self._note(name))
            for name, module in network.named_modules()
            if name and (_weighted(module) or not list(module.children()))
        ]

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, name: str) -> Any:
        def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            maps = isinstance(module, CONVOLUTIONS)
            if _weighted(module):
                calls = 1 + (self.found.pop(name).calls if name in self.found else 0)  # put last again
                self.found[name] = Layer(name, module, calls, maps, args[0].dim() == 2, self._maps)
            if maps or (self._maps is not None and output.dim() == len(self._maps) + 1):
                self._maps = tuple(output.shape[1:])

        return note


def _weighted(module: nn.Module) -> bool:
    return not isinstance(module, nn.Embedding) and any(each.dim() > 1 for each in module.parameters(recurse=False))
