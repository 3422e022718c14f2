"""What becomes of all outputs when parts of a row are replaced by the baseline; many rows and parts at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from autodl.attribution import Question
from autodl_explainers._gradients import FORWARD, outputs, rows_at_once

Marks: TypeAlias = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
"""Rows and parts, one pair after the other → for each input which entries are to go. Shape: pairs → pairs *shape."""


@torch.no_grad()
def drops(question: Question, parts: int, marks: Marks) -> Tensor:
    """f(x) less f(x without a part); 0 of a part that is not in the row. Shape: → rows parts outputs.

    Of a missing input there is nothing to take away but the whole: the baseline then takes the missing one's place,
    and its parts are left as they are.
    """
    whole = outputs(question, question.inputs)
    gone = {name: question.inputs[name].flatten(1).isnan().all(1) for name in question.names}
    size = rows_at_once(question, FORWARD)
    found = []
    for start in range(0, len(question) * parts, size):
        pairs = torch.arange(start, min(start + size, len(question) * parts), device=whole.device)
        rows, part = pairs // parts, pairs % parts
        removed = {}
        there = torch.zeros(len(pairs), dtype=torch.bool, device=whole.device)
        for name, marked in marks(rows, part).items():
            marked = marked & _each(~gone[name][rows] | marked.flatten(1).all(1), marked)
            removed[name] = torch.where(marked, question.baseline[name], question.inputs[name][rows])
            there |= marked.flatten(1).any(1)
        found.append((whole[rows] - question.model(removed)) * there.unsqueeze(1))
    return torch.cat(found).view(len(question), parts, -1)


def of_players(question: Question) -> Marks:
    """Parts are players."""

    def marks(rows: Tensor, part: Tensor) -> dict[str, Tensor]:
        players = question.players.at(rows)
        return {name: players.rows(name) == _each(part, question.inputs[name]) for name in question.names}

    return marks


def _each(values: Tensor, like: Tensor) -> Tensor:
    """One value a row, to be spread over a row's entries."""
    return values.view(-1, *[1] * (like.dim() - 1))
