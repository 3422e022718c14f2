"""The best model without interactions between inputs: what is lost by it is what interactions are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autodl.records import Task

FLOOR = 1e-6
"""Probabilities below count as this: the logarithm of those that trees give, 0, would outweigh all others."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A model, and the sum of functions of one input each that comes closest to it.

    Attributes:
        full: ``(rows, outputs)``: the model's own predictions.
        additive: ``(rows, outputs)``: those of the sum, probabilities again where the model's are.
        interaction: Share of the model's variance over rows whose inputs are put together anew that no such sum
            explains: 0 of a sum, 1 of an exclusive or.
    """

    full: Tensor
    additive: Tensor
    interaction: float


def additive_projection(
    ask: Callable[[Tensor], Tensor], inputs: int, rows: int, task: Task, generator: np.random.Generator
) -> Projection:
    """Return the empirical multimodally-additive projection (EMAP) of a model, for any number of inputs.

    The model is asked of ``rows²`` rows whose inputs come from different rows, in ``rows`` rounds, in each of which
    every input of every row stands once: first the rows as they are, then, with two inputs, every other pair, which is
    the method as published; with more of them, rows that are put together by chance. A constant and one number for
    each input of each row are fitted to the outputs by least squares. Over all pairs these are the means that the paper
    takes; of a sum they are exact in any case. Classes are projected as log-probabilities less their mean over classes,
    0/1 targets as log-odds, as the paper projects logits; numbers as they are, each in units of its spread.

    ``interaction`` is 1 less the adjusted coefficient of determination of that fit.

    Args:
        ask: Which row each input comes from, ``(inputs, asked)`` → ``(asked, outputs)``.
        inputs: How many there are, at least two.
        rows: How many there are.
        task: What is predicted.
        generator: Of all chance.

    Reference:
        Hessel, Lee: Does my multimodal model learn cross-modal interactions? It's harder to tell than you might think!,
        EMNLP 2020, arXiv 2010.06572, section 3 and algorithm 1.
    """
    index = _rounds(inputs, rows, generator)
    outputs = ask(index)
    seen, unit = _linked(outputs, task)
    constant = seen.mean(0)
    own = _fit(index, seen - constant, rows)
    fitted = constant + own.gather(1, index.unsqueeze(2).expand(-1, -1, seen.shape[1])).sum(0)
    left, whole = (seen - fitted).square().sum(), (seen - constant).square().sum()
    free = max(1, index.shape[1] - inputs * (rows - 1) - 1)
    share = float(left / free / (whole / (index.shape[1] - 1))) if float(whole) > 0 else 0.0
    return Projection(outputs[:rows], _unlinked(fitted[:rows], unit, task), min(1.0, share))


def _rounds(inputs: int, rows: int, generator: np.random.Generator) -> Tensor:
    """Which row each input comes from. Shape: → inputs asked; the first ``rows`` are the rows themselves."""
    own = np.arange(rows)
    parts = [np.tile(own, (inputs, 1))]
    for shift in range(1, rows):
        others = [(own + shift) % rows if inputs == 2 else generator.permutation(rows) for _ in range(inputs - 1)]
        parts.append(np.stack([own, *others]))
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _fit(index: Tensor, outputs: Tensor, rows: int) -> Tensor:
    """One number for each input of each row, with mean 0 over rows. Shape: → inputs rows outputs."""
    inputs = len(index)
    places = index + rows * torch.arange(inputs).unsqueeze(1)
    normal = torch.zeros(inputs * rows, inputs * rows, dtype=torch.float64)
    right = torch.zeros(inputs * rows, outputs.shape[1], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64).expand(index.shape[1])
    for a in range(inputs):
        right.index_add_(0, places[a], outputs)
        for b in range(inputs):
            normal.index_put_((places[a], places[b]), one, accumulate=True)
    for block in torch.arange(inputs * rows).view(inputs, rows):  # else what one input has more another could have less
        normal[block[:, None], block] += 1.0
    found: Tensor = torch.linalg.lstsq(normal, right).solution
    return found.view(inputs, rows, -1)


def _linked(outputs: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Outputs on the scale on which effects add up, and its unit."""
    if task.is_classification:
        logs = outputs.clamp_min(FLOOR).log()
        return logs - logs.mean(1, keepdim=True), outputs.new_ones(1)
    if task.kind == "multilabel":
        return outputs.clamp(FLOOR, 1 - FLOOR).logit(), outputs.new_ones(1)
    unit = outputs.std(0, correction=0)
    unit = torch.where(unit > 0, unit, 1.0)
    return outputs / unit, unit


def _unlinked(seen: Tensor, unit: Tensor, task: Task) -> Tensor:
    if task.is_classification:
        return seen.softmax(1)
    return seen.sigmoid() if task.kind == "multilabel" else seen * unit
