"""Rows in which some players are another row's, sent through the model some at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autodl.attribution import Players, Question

MOST_ROWS = 4096
"""Sent through the model together; more at once are slower, for they leave the processor's cache."""
COPIES = 4
"""Of a row that are held while it is made: the row, the donor, the result, and what the model makes of its input."""


@dataclass(frozen=True, eq=False)
class Jobs:
    """Which rows are to be made: each is a row that takes some players from a donor.

    Attributes:
        row: ``(jobs,)``: position of the row.
        donor: ``(jobs,)``: position of the donor.
        taken: A slice of the jobs → BoolTensor ``(of the slice, players)``: which players come from the donor.
    """

    row: Tensor
    donor: Tensor
    taken: Callable[[slice], Tensor]

    @classmethod
    def single(cls, row: Tensor, donor: Tensor, player: Tensor, players: int) -> Jobs:
        """Jobs in which one player alone comes from the donor. Shape: each jobs."""
        everyone = torch.arange(players, device=player.device)
        return cls(row, donor, lambda part: player[part].unsqueeze(1) == everyone)

    def __len__(self) -> int:
        return len(self.row)


class Deadline:
    """A question's wall time, counted from here."""

    def __init__(self, question: Question) -> None:
        self._end = None if question.seconds is None else time.monotonic() + question.seconds

    @property
    def over(self) -> bool:
        """Whether a method that can stop early shall do so."""
        return self._end is not None and time.monotonic() > self._end


@torch.no_grad()
def answers(
    question: Question, rows: Mapping[str, Tensor], donors: Mapping[str, Tensor], jobs: Jobs
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the model's outputs for some jobs after the other.

    Args:
        question: Its model, players and memory count.
        rows: Where rows are taken from; with players that differ between rows these are the rows of the question.
        donors: Where donors are taken from.
        jobs: What is to be made.

    Shape:
        yielded: which jobs, outputs of each: jobs outputs
    """
    for part in parts(question, len(jobs)):
        row, donor = jobs.row[part], jobs.donor[part]
        taken = question.players.at(row).spread(jobs.taken(part))
        yield (
            part,
            question.model({name: torch.where(taken[name], donors[name][donor], rows[name][row]) for name in rows}),
        )


def outputs(question: Question, inputs: Mapping[str, Tensor]) -> Tensor:
    """The model's outputs for rows as they are. Shape: {input: rows *shape} → rows outputs."""
    count = len(next(iter(inputs.values())))
    with torch.no_grad():
        found = [question.model({name: x[part] for name, x in inputs.items()}) for part in parts(question, count)]
    return torch.cat(found)


def parts(question: Question, count: int) -> Iterator[slice]:
    """Yield slices of so many rows as the memory bears, until there were ``count``."""
    size = rows_at_once(question)
    yield from (slice(start, min(count, start + size)) for start in range(0, count, size))


def rows_at_once(question: Question) -> int:
    """Rows that can be made together within the memory, at least one."""
    held = 0
    for name in question.names:
        x = question.inputs[name]
        index = 8 if question.players.own else 0
        held += x[0].numel() * (COPIES * x.element_size() + index + 1)
    return max(1, min(MOST_ROWS, question.memory // max(1, held)))


def whole(players: Players, name: str) -> bool:
    """Whether no row of this input is divided among several players."""
    index = players.rows(name).flatten(1)
    return bool((index == index[:, :1]).all())


def gone(x: Tensor) -> Tensor:
    """Which rows of an input are missing: all NaN. Shape: rows *shape → rows."""
    return x.flatten(1).isnan().all(1)


def divided(question: Question, inputs: Mapping[str, Tensor], what: str = "rows") -> str | None:
    """A missing input can be put in as a whole, never by parts: the rest would still be NaN."""
    for name in question.names:
        missing = gone(inputs[name]).nonzero().flatten()
        if len(missing) and not whole(question.players, name):
            return (
                f"input '{name}' is missing in {len(missing)} of {len(inputs[name])} {what} (the first is row "
                f"{int(missing[0])}), and a part of it cannot be put into a row that has no other parts; leave these "
                "rows out, or make the whole input one player"
            )
    return None


def varying(question: Question) -> str | None:
    """Players that are another thing in every row have no values in common."""
    if question.players.own:
        return (
            "every row is divided into players of its own (segments), so that no other row holds a value for them; "
            "make each whole input one player, or use shapley"
        )
    return None
