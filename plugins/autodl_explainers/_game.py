"""The game that a row plays: what the model says of each coalition of its players."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from autodl.attribution import Players, Question

ROWS_AT_ONCE = 1024
"""Larger batches fall out of a CPU's cache."""
COPIES = 16
"""Bytes that a row in the model is taken to need, as a multiple of its own."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that have equally many players, so that they can share coalitions.

    Attributes:
        rows: Which rows of the question.
        players: ``(rows, seats)``: the player on each seat.
        seats: ``(rows, players)``: the seat of each player, -1 for who is nobody there; one row where all are alike.
    """

    rows: Tensor
    players: Tensor
    seats: Tensor

    def __len__(self) -> int:
        return self.players.shape[1]

    def at(self, rows: Tensor) -> Table:
        """The same with some of its rows."""
        seats = self.seats if len(self.seats) == 1 else self.seats[rows]
        return Table(self.rows[rows], self.players[rows], seats)


def tables(question: Question) -> Iterator[Table]:
    """Sit the rows at tables, by their numbers of players.

    The players of an input that is missing move as one, the first of them: the input is missing, or it is not.
    """
    leader = _leaders(question)
    present = _present(question.players, len(question)) & (leader == torch.arange(leader.shape[1]))
    counts = present.sum(1)
    for count in sorted(set(counts.tolist())):
        rows = (counts == count).nonzero().flatten()
        players = present[rows].nonzero()[:, 1].view(len(rows), count)
        own = torch.where(present[rows], present[rows].cumsum(1) - 1, -1)
        seats = own.gather(1, leader[rows])
        alike = bool((seats == seats[:1]).all())
        yield Table(rows, players, seats[:1] if alike else seats)


class Game:
    """v(S): the mean output over background rows of the row where S is, and of the background elsewhere.

    Args:
        question: Its ``target`` is not looked at.
        targets: The outputs that are worth something.

    Attributes:
        full: ``(rows, targets)``: v of all players.
        empty: ``(targets,)``: v of nobody.
        device: Where the rows lie; what is found lies on the CPU, in float64.
        evaluations: Rows that went through the model so far.
        seconds_per_row: Of the model, as measured so far.

    Reference:
        Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874 (with the interventional
        expectation of Janzing, Minorics, Blöbaum, arXiv 1910.13413).
    """

    def __init__(self, question: Question, targets: Sequence[int]) -> None:
        self.question = question
        self.device = next(iter(question.inputs.values())).device
        self.targets = torch.tensor(targets, device=self.device)
        self.background = len(next(iter(question.background.values())))
        size = sum(x[0].numel() * x.element_size() for x in question.inputs.values())
        self.batch = max(1, min(ROWS_AT_ONCE, question.memory // (COPIES * size)))
        self.evaluations, self.seconds = 0, 0.0
        self.full = self._plain(question.inputs)
        self.empty = self._plain(question.background).mean(0)

    @property
    def seconds_per_row(self) -> float:
        """Of the model, as measured so far."""
        return self.seconds / self.evaluations

    def worth(self, table: Table, coalitions: Tensor) -> Tensor:
        """Shape: coalitions seats → coalitions rows targets."""
        rows, several = len(table.rows), self.background
        found = torch.zeros(len(coalitions), rows, len(self.targets), dtype=torch.float64)
        question = self.question.at(table.rows)
        few = min(several, self.batch)
        some = min(rows, self.batch // few)
        many = max(1, self.batch // (few * some))
        where = {name: self._where(question, table, name).to(self.device) for name in question.names}
        for c, r, b in product(range(0, len(coalitions), many), range(0, rows, some), range(0, several, few)):
            chosen = coalitions[c : c + many].to(self.device)
            mixed = {name: self._mixed(question, name, chosen, where[name], slice(r, r + some), slice(b, b + few))
                     for name in question.names}  # fmt: skip
            shape = next(iter(mixed.values())).shape[:3]
            outputs = self._outputs({name: x.flatten(0, 2) for name, x in mixed.items()})
            found[c : c + many, r : r + some] += outputs.view(*shape, -1).sum(2, dtype=torch.float64).cpu()
        return found / several

    @staticmethod
    def _where(question: Question, table: Table, name: str) -> Tensor:
        """The seat that every entry belongs to. Shape: → rows *shape, or 1 *shape where all are alike."""
        index = question.players.rows(name).cpu()
        flat = index.flatten(1).expand(max(len(index), len(table.seats)), -1)
        return table.seats.expand(len(flat), -1).gather(1, flat).view(-1, *index.shape[1:])

    def _mixed(
        self, question: Question, name: str, coalitions: Tensor, where: Tensor, rows: slice, background: slice
    ) -> Tensor:
        """Shape: → coalitions rows background *shape."""
        seats = where if len(where) == 1 else where[rows]
        present = coalitions[:, seats].unsqueeze(2)
        return torch.where(present, question.inputs[name][rows].unsqueeze(1), question.background[name][background])

    def _plain(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The outputs of rows as they are. Shape: → rows targets."""
        rows = len(next(iter(inputs.values())))
        parts = [
            self._outputs({name: x[start : start + self.batch] for name, x in inputs.items()})
            for start in range(0, rows, self.batch)
        ]
        return torch.cat(parts).double().cpu()

    @torch.no_grad()
    def _outputs(self, batch: dict[str, Tensor]) -> Tensor:
        started = time.perf_counter()
        outputs = self.question.model(batch)
        self.seconds += time.perf_counter() - started
        self.evaluations += len(outputs)
        return outputs.index_select(1, self.targets)


def _present(players: Players, rows: int) -> Tensor:
    """Who has an entry. Shape: → rows players."""
    present = torch.zeros(rows, len(players), dtype=torch.bool)
    for name in sorted(players.index):
        index = players.rows(name).cpu().flatten(1).expand(rows, -1)
        present.scatter_(1, index, True)
    return present


def _leaders(question: Question) -> Tensor:
    """Whom each player moves with: itself, or the first of a missing input's players. Shape: → rows players."""
    count = len(question.players)
    leader = torch.arange(count).repeat(len(question), 1)
    for name in question.names:
        gone = question.inputs[name].flatten(1).isnan().any(1).nonzero().flatten()
        index = question.players.rows(name).cpu()
        for row in gone.tolist():
            crowd = leader[row][torch.unique(index[row if len(index) > 1 else 0])]
            leader[row][torch.isin(leader[row], crowd)] = crowd.min()
    return leader
