"""Class activation maps: the last feature maps of each network, weighted by what the output makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.attribution import Question
from autodl_explainers._gradients import Column, chunks, frozen, joined, leaves, rows_at_once

Place = tuple[nn.Module, int]
"""A layer, and which of its calls within a pass."""


@dataclass
class Seen:
    """The feature maps of one forward pass, in the order in which they came."""

    places: list[Place] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)


@contextmanager
def watching(network: nn.Module) -> Iterator[Seen]:
    """Note every layer's answer that is made of maps larger than one cell."""
    seen = Seen()
    calls: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _: Any, answer: Any) -> None:
        calls[layer] = calls.get(layer, 0) + 1
        if isinstance(answer, Tensor) and answer.dim() == 4 and answer.shape[2] * answer.shape[3] > 1:
            seen.places.append((layer, calls[layer]))
            seen.maps.append(answer)

    handles = [layer.register_forward_hook(note) for layer in network.modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def images(question: Question) -> list[str]:
    """The inputs that are images."""
    return [name for name in question.names if question.inputs[name].dim() == 4]


def last_maps(question: Question, network: nn.Module) -> dict[str, Place]:
    """For each image the last layer with maps that depend on it; no entry where there is none."""
    inputs = leaves(question.baseline, question.names)
    with watching(network) as seen, frozen(question), torch.enable_grad():
        Column(question)(*inputs)
        towards = [inputs[question.names.index(name)] for name in images(question)]
        found: dict[str, Place] = {}
        for place, each in zip(reversed(seen.places), reversed(seen.maps), strict=True):
            if not each.requires_grad:
                continue
            slopes = torch.autograd.grad(each.sum(), towards, retain_graph=True, allow_unused=True)
            for name, slope in zip(images(question), slopes, strict=True):
                if slope is not None:
                    found.setdefault(name, place)
            if len(found) == len(towards):
                break
    return found


def objection(question: Question) -> str | None:
    """Why there are no maps of these networks, or None."""
    if not images(question):
        return "no input is an image (channels, height, width); use integrated_gradients or shapley"
    for number, network in enumerate(question.networks, 1):
        if not last_maps(question, network):
            which = f" {number} of {len(question.networks)}" if len(question.networks) > 1 else ""
            told = " or ".join(f"'{name}'" for name in images(question))
            return (
                f"no layer of network{which} ({type(network).__name__}) answers to input {told} with maps "
                "(channels, height, width) larger than one cell, as convolutions do; use integrated_gradients"
            )
    return None if question.networks else "there is no network in which to look for maps; use shapley"


def silent(question: Question) -> tuple[str, ...]:
    """A note on each image, or sound, of which some network has no maps, beside others of which it has."""
    found: dict[str, list[str]] = {}
    for number, network in enumerate(question.networks, 1):
        for name in set(images(question)) - set(last_maps(question, network)):
            found.setdefault(name, []).append(str(number))
    return tuple(
        f"Network {' and '.join(found[name])} of {len(question.networks)} has no maps of input '{name}', and nothing "
        "is said of what it may see there."
        for name in sorted(found)
    )


def activation_maps(question: Question, *, positive: bool) -> dict[str, Tensor]:
    """For each image a map of its own size, the sum over networks. Shape: → {image: rows height width}.

    The output is that of all networks together, so that its gradient weighs them already.
    """
    places = [(name, place) for network in question.networks for name, place in last_maps(question, network).items()]
    wanted = [place for _, place in places]
    parts = []
    for part in chunks(question, rows_at_once(question)):
        found = {name: torch.zeros_like(part.inputs[name][:, 0]) for name in images(part)}
        for (name, _), each in zip(places, _weighted(part, wanted), strict=True):
            each = each.relu() if positive else each
            found[name] += functional.interpolate(each, size=found[name].shape[1:], mode="bilinear").squeeze(1)
        parts.append(found)
    return joined(parts)


def _weighted(question: Question, places: Sequence[Place]) -> list[Tensor]:
    """Maps times the mean gradient of each channel, summed over channels. Shape: → places of rows 1 high wide."""
    inputs = leaves(question.inputs, question.names)
    with frozen(question), torch.enable_grad():
        with watching(question.model) as seen:  # type: ignore[arg-type]
            outputs = Column(question)(*inputs)
        at: Mapping[Place, Tensor] = dict(zip(seen.places, seen.maps, strict=True))
        maps = [at[place] for place in places]
        slopes = torch.autograd.grad(outputs.sum(), maps, allow_unused=True)
    return [
        each.new_zeros(len(each), 1, *each.shape[2:])
        if slope is None
        else (slope.mean((2, 3), keepdim=True) * each.detach()).sum(1, keepdim=True)
        for each, slope in zip(maps, slopes, strict=True)
    ]
