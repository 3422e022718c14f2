"""Layers with weights of their own: where they are, what enters them, and whether all signals pass them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autodl.attribution import Question
from autodl_explainers._gradients import Column, frozen, leaves


@dataclass(frozen=True)
class Place:
    """A layer, and the path that it is known by; ``network 2: `` stands in front where there are several."""

    path: str
    layer: nn.Module


def hidden(question: Question, number: int) -> list[Place | None]:
    """In each network the layer whose inputs are the hidden units so far from the output; None where it has none."""
    found: list[Place | None] = []
    for index, network in enumerate(question.networks, 1):
        paths = {layer: path for path, layer in network.named_modules() if _weighs(layer)}
        order: list[nn.Module] = []
        with _before(paths, lambda layer, _, order=order: order.append(layer)), torch.no_grad():
            question.model({name: x.clone() for name, x in question.baseline.items()})
        prefix = f"network {index}: " if len(question.networks) > 1 else ""
        reached = len(order) > number  # before a hidden unit there is a layer
        found.append(Place(prefix + paths[order[-number]], order[-number]) if reached else None)
    return found


def way_round(question: Question, places: Sequence[Place]) -> bool:
    """Whether the output sees the inputs by a way that leads through none of the layers."""
    inputs = leaves(question.baseline, question.names)
    with frozen(question), torch.enable_grad(), _before([each.layer for each in places], _cut):
        outputs = Column(question)(*inputs)
        if not outputs.requires_grad:
            return False
        return any(each is not None for each in torch.autograd.grad(outputs.sum(), inputs, allow_unused=True))


def entering(
    question: Question, places: Sequence[Place], inputs: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """What enters each layer, and the output's gradient towards it. Shape: → rows units, rows units."""
    seen: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, args: Any) -> None:
        seen[layer] = args[0]

    with frozen(question), torch.enable_grad(), _before([each.layer for each in places], note):
        outputs = Column(question)(*inputs)
        units = [seen[each.layer] for each in places]
        slopes = torch.autograd.grad(outputs.sum(), units, allow_unused=True)
    pairs = zip(units, slopes, strict=True)
    filled = [torch.zeros_like(each) if slope is None else slope for each, slope in pairs]
    return [each.detach().flatten(1) for each in units], [each.flatten(1) for each in filled]


def names(question: Question, places: Sequence[Place]) -> tuple[str, ...]:
    """What each unit is called: the layer it enters, and its place there."""
    seen: dict[nn.Module, torch.Size] = {}

    def note(layer: nn.Module, args: Any) -> None:
        seen[layer] = args[0].shape[1:]

    with torch.no_grad(), _before([each.layer for each in places], note):
        question.model({name: x.clone() for name, x in question.baseline.items()})
    found = []
    for each in places:
        for unit in torch.cartesian_prod(*map(torch.arange, seen[each.layer])).view(-1, len(seen[each.layer])).tolist():
            found.append(f"{each.path}{unit}")
    return tuple(found)


def _weighs(layer: nn.Module) -> bool:
    """Whether it mixes units, as norms and factors do not."""
    return any(each.dim() > 1 for each in layer.parameters(recurse=False))


def _cut(_: nn.Module, args: Any) -> Any:
    return args[0].detach().requires_grad_(), *args[1:]


@contextmanager
def _before(layers: Any, hook: Any) -> Iterator[None]:
    handles = [layer.register_forward_pre_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
