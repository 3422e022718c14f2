"""Where curves over a column's values have their points, and accumulated local effects between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autodl.attribution import Question
from autodl_explainers._donors import Jobs, answers


@dataclass(frozen=True, eq=False)
class Grid:
    """The points of one player's curve.

    Attributes:
        player: Its position.
        donors: ``(points,)``: background rows that show the values.
        counts: ``(points,)``: background rows that each stands for.
        axis: Position of the number that the points rise by among the player's entries; None where they have no order.
        values: ``(points,)``: that number at each point, rising.
        beside: ``(entries,)``: the player's entries beside the axis, alike at all points, with NaN at the axis; None
            where they are not alike, so that a step from a point to the next is no step of the number alone.
    """

    player: int
    donors: Tensor
    counts: Tensor
    axis: int | None = None
    values: Tensor | None = None
    beside: Tensor | None = None


def entries(question: Question, player: int, inputs: Mapping[str, Tensor]) -> Tensor:
    """The entries of one player side by side. Shape: {input: rows *shape} → rows entries."""
    index = question.players.index
    return torch.cat([inputs[name].flatten(1)[:, index[name].flatten() == player] for name in question.names], 1)


def grid(question: Question, player: int, points: int) -> Grid:
    """Choose at most so many background rows that together show what a player may be."""
    vectors = entries(question, player, question.background)
    axis = _axis(question, player)
    if axis is None:
        return _frequent(player, vectors, points)
    beside = vectors.clone()
    beside[:, axis] = 0
    kinds, kind, counts = torch.unique(beside, dim=0, return_inverse=True, return_counts=True)
    eligible = torch.arange(len(vectors), device=vectors.device)
    alike = None
    if len(kinds) <= 2:  # a number and a mark beside it: the curve is over the number where it is known
        usual = int(counts.argmax())
        eligible = (kind == usual).nonzero().flatten()
        alike = kinds[usual].clone()
        alike[axis] = torch.nan
    return _rising(player, vectors[:, axis], eligible, points, (axis, alike))


def local_effects(question: Question, at: Grid, target: int) -> tuple[Tensor, int]:
    """Accumulated local effects at the points of a curve, with mean 0 over the rows they come from.

    Every row of background and question between two neighbouring points is asked at both, all else being its own; the
    mean differences are summed up. Rows that are missing, or beyond the points, are left out.

    Returns:
        The effects, and how many rows were sent through the model.

    Shape:
        returned: points

    Reference:
        Apley, Zhu: Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models,
        arXiv 1612.08468.
    """
    assert at.axis is not None
    assert at.values is not None
    assert at.beside is not None
    data = {name: torch.cat([question.background[name], question.inputs[name]]) for name in question.names}
    vectors = entries(question, at.player, data)
    alike = ((vectors == at.beside) | at.beside.isnan()).all(1)
    number = vectors[:, at.axis]
    inside = (alike & (number >= at.values[0]) & (number <= at.values[-1])).nonzero().flatten()
    steps = len(at.values) - 1
    if not steps:
        return at.values.new_zeros(1, dtype=torch.float64), 0
    upper = torch.bucketize(number[inside].contiguous(), at.values).clamp_min(1)
    donors = torch.cat([at.donors[upper], at.donors[upper - 1]])
    player = torch.full_like(donors, at.player)
    jobs = Jobs.single(inside.repeat(2), donors, player, len(question.players))
    high, low = torch.cat([each[:, target] for _, each in answers(question, data, question.background, jobs)]).chunk(2)
    total = high.new_zeros(steps, dtype=torch.float64).index_add_(0, upper - 1, (high - low).double())
    rows = torch.bincount(upper - 1, minlength=steps)
    found = torch.cat([total.new_zeros(1), (total / rows).cumsum(0)])
    centre = ((found[1:] + found[:-1]) / 2 * rows).sum() / rows.sum()
    return found - centre, len(jobs)


def _axis(question: Question, player: int) -> int | None:
    """The one number among a player's entries: a single entry, or the one that its table calls numeric."""
    found = []
    total = 0
    for name in question.names:
        mine = (question.players.index[name].flatten() == player).nonzero().flatten()
        spec = question.specs.get(name)
        numeric = None if spec is None else spec.numeric
        if numeric is not None:
            found += [total + place for place, entry in enumerate(mine.tolist()) if numeric[entry]]
        total += len(mine)
    if total == 1:
        return 0
    return found[0] if len(found) == 1 else None


def _rising(player: int, number: Tensor, eligible: Tensor, points: int, axis: tuple[int, Tensor | None]) -> Grid:
    """Points at evenly spaced quantiles, or at every value where there are few."""
    values, order = number[eligible].sort(stable=True)
    new = torch.cat([values.new_ones(1, dtype=torch.bool), values[1:] != values[:-1]])
    distinct = new.nonzero().flatten()
    if len(distinct) > points:
        levels = torch.linspace(0, len(values) - 1, points, dtype=torch.float64).round().long().to(values.device)
        chosen = torch.unique(distinct[new.cumsum(0)[levels] - 1])  # the first row of each value, each value once
    else:
        chosen = distinct
    at = values[chosen]
    nearest = torch.bucketize(values.double(), (at[1:].double() + at[:-1].double()) / 2)
    counts = torch.bincount(nearest, minlength=len(at))
    return Grid(player, eligible[order[chosen]], counts, axis[0], at, axis[1])


def _frequent(player: int, vectors: Tensor, points: int) -> Grid:
    """Each distinct vector once, the most frequent first."""
    kinds, kind, counts = torch.unique(vectors, dim=0, return_inverse=True, return_counts=True)
    rows = torch.arange(len(vectors), device=vectors.device)
    earliest = rows.new_full((len(kinds),), len(vectors)).scatter_reduce_(0, kind, rows, "amin")
    by_row = earliest.argsort()  # equally frequent ones stand in the order of the background
    order = by_row[counts[by_row].argsort(descending=True, stable=True)][:points]
    return Grid(player, earliest[order], counts[order])
