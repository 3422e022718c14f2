"""The game that whole inputs play: what a model says where only some of them are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor

from autodl.errors import ExplanationError

Model: TypeAlias = Callable[[dict[str, Tensor]], Tensor]
"""{view key: rows *shape} → rows outputs: probabilities, or numbers; a row that lacks an input is all NaN there."""

MOST_INPUTS = 6
"""All 2^6 sets of inputs are asked of; more are for the caller to join, see ``joined``."""
ROWS_AT_ONCE, BYTES_AT_ONCE = 1024, 2**25


def joined(groups: Mapping[str, Sequence[str]], kinds: Mapping[str, str]) -> dict[str, list[str]]:
    """At most ``MOST_INPUTS`` inputs: where there are more, those of one kind count as one, called as the kind.

    Args:
        groups: Input name → the keys of its views.
        kinds: Input name → what it is a kind of, such as its modality's name.
    """
    if len(groups) <= MOST_INPUTS:
        return {name: list(keys) for name, keys in groups.items()}
    found: dict[str, list[str]] = {}
    for name, keys in groups.items():
        found.setdefault(kinds[name], []).extend(keys)
    return found


def coalitions(model: Model, inputs: Mapping[str, Tensor], groups: Mapping[str, Sequence[str]]) -> Tensor:
    """The model's outputs for every set of inputs, the others made NaN, as a missing one is.

    Set ``s`` holds the input at place ``i`` of ``groups`` where bit ``i`` of ``s`` is 1: nobody first, all last.

    Args:
        model: What predicts.
        inputs: ``{key: rows *shape}``, floating point.
        groups: Input name → the keys of its views.

    Raises:
        ExplanationError: There are none, or more than ``MOST_INPUTS``.

    Shape:
        → 2^inputs rows outputs, float64
    """
    if not 0 < len(groups) <= MOST_INPUTS:
        raise ExplanationError(
            f"there must be 1 to {MOST_INPUTS} inputs for all sets of them to be asked of, however there are "
            f"{len(groups)}; join some"
        )
    worths = []
    for each in range(2 ** len(groups)):
        gone = {key for place, keys in enumerate(groups.values()) if not each >> place & 1 for key in keys}
        worths.append(
            answered(model, {k: torch.full_like(x, torch.nan) if k in gone else x for k, x in inputs.items()})
        )
    return torch.stack(worths)


@torch.no_grad()
def answered(model: Model, inputs: Mapping[str, Tensor], index: Mapping[str, Tensor] | None = None) -> Tensor:
    """The outputs of rows, some at a time; with an index each input's rows are put together anew.

    Shape: {key: rows *shape}, {key: asked} → asked outputs, float64
    """
    count = len(next(iter((index or inputs).values())))
    size = sum(x[:1].nbytes for x in inputs.values())
    step = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(1, size)))
    parts = []
    for start in range(0, count, step):
        some = slice(start, start + step)
        chosen = {key: x[some if index is None else index[key][some]] for key, x in inputs.items()}
        parts.append(model({key: x.clone() for key, x in chosen.items()}).double().cpu())
    return torch.cat(parts)


def shapley_values(worths: Tensor) -> Tensor:
    """Each input's mean effect on joining the others, over all orders; they sum to the last worth less the first.

    Shape:
        2^inputs … → inputs …

    Reference:
        Shapley: A value for n-person games, 1953.
    """
    count = len(worths).bit_length() - 1
    found = []
    for place in range(count):
        total = torch.zeros_like(worths[0])
        for without in _sets_without(count, 1 << place):
            size = without.bit_count()
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            total = total + weight * (worths[without | 1 << place] - worths[without])
        found.append(total)
    return torch.stack(found)


def interactions(worths: Tensor) -> Tensor:
    """What every two inputs do together beyond each alone: the Shapley interaction index, 0 on the diagonal.

    Above 0 one adds to the other; below 0 one stands in for the other.

    Shape:
        2^inputs … → inputs inputs …

    Reference:
        Grabisch, Roubens: An axiomatic approach to the concept of interaction among players in cooperative games,
        Int. J. Game Theory 28 (1999), equation 2.
    """
    count = len(worths).bit_length() - 1
    found = worths.new_zeros(count, count, *worths.shape[1:])
    for a, b in combinations(range(count), 2):
        one, other = 1 << a, 1 << b
        for without in _sets_without(count, one | other):
            size = without.bit_count()
            weight = math.factorial(size) * math.factorial(count - size - 2) / math.factorial(count - 1)
            both = worths[without | one | other] - worths[without | one] - worths[without | other] + worths[without]
            found[a, b] += weight * both
        found[b, a] = found[a, b]
    return found


def shares(values: Tensor) -> Tensor:
    """Each input's part in the sizes of all values of a row; all alike where nothing contributes anything.

    Shape:
        inputs rows outputs → rows inputs

    Reference:
        Parcalabescu, Frank: MM-SHAP: A Performance-agnostic Metric for Measuring Multimodal Contributions in Vision and
        Language Models & Tasks, arXiv 2212.08158, equation 3 (there over tokens, summed to inputs; here over inputs).
    """
    sizes = values.abs().sum(2).T
    total = sizes.sum(1, keepdim=True)
    return torch.where(total > 0, sizes / total.clamp_min(1e-300), 1 / sizes.shape[1])


def _sets_without(count: int, excluded: int) -> Iterator[int]:
    return (each for each in range(2**count) if not each & excluded)
