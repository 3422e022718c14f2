"""Donors that bring a row across a line, and how few of their players suffice for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autodl.attribution import Question
from autodl_explainers._donors import Deadline, Jobs, answers, parts


@dataclass(frozen=True, eq=False)
class Line:
    """What an output must cross.

    Attributes:
        target: The output.
        toggles: ``(rows,)``: for classes whether the row is of the target class now; None for numbers.
        start: ``(rows,)``: the output now.
        way: 1 up, -1 down, 0 either, for numbers.
        least: How far a number must move.
    """

    target: int
    toggles: Tensor | None
    start: Tensor
    way: int = 0
    least: float = 0.0

    def margin(self, outputs: Tensor, row: Tensor) -> Tensor:
        """How far beyond the line changed rows lie; -inf short of it. Shape: jobs outputs, jobs → jobs."""
        mine = outputs[:, self.target].double()
        if self.toggles is None:
            moved = mine - self.start[row].double()
            beyond = (moved.abs() if self.way == 0 else self.way * moved) - self.least
            return torch.where(beyond >= 0, beyond, -torch.inf)
        others = outputs.double().clone()
        others[:, self.target] = -torch.inf
        beyond = torch.where(self.toggles[row], 1.0, -1.0) * (others.amax(1) - mine)
        return torch.where(beyond > 0, beyond, -torch.inf)


@dataclass(frozen=True, eq=False)
class Swaps:
    """Rows with players from donors.

    Attributes:
        row: ``(swaps,)``: position of the row.
        donor: ``(swaps,)``: position of the background row.
        taken: ``(swaps, players)``: which players are the donor's.
        change: ``(swaps, players)``: mean distance of each player's entries in units of their spread in the background.
    """

    row: Tensor
    donor: Tensor
    taken: Tensor
    change: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def at(self, which: Tensor) -> Swaps:
        """Some of them."""
        return Swaps(*(each[which] for each in (self.row, self.donor, self.taken, self.change)))

    def distance(self) -> Tensor:
        """Players changed plus the mean change over all players. Shape: → swaps."""
        return self.taken.sum(1) + (self.change * self.taken).mean(1)

    def without(self, which: Tensor, player: Tensor) -> Jobs:
        """Jobs that give one player of a swap back. Shape: jobs, jobs."""

        def taken(part: slice) -> Tensor:
            everyone = torch.arange(self.taken.shape[1], device=which.device)
            return self.taken[which[part]] & (player[part].unsqueeze(1) != everyone)

        return Jobs(self.row[which], self.donor[which], taken)


@dataclass(frozen=True, eq=False)
class Metric:
    """What may change, and how much a change is.

    Attributes:
        question: Its background holds the donors.
        mutable: ``(players,)``: which players may change.
        spread: Input name → ``(*shape)``: standard deviation over the background; 1 where that is 0, or where entries
            are names.
        names: Inputs whose entries are names, of which any two are one spread apart.
    """

    question: Question
    mutable: Tensor
    spread: Mapping[str, Tensor]
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, question: Question, mutable: Tensor) -> Metric:
        """Measure the background."""
        names = frozenset(name for name, spec in question.specs.items() if spec.vocabulary)
        spread = {name: x.std(0, correction=0) for name, x in question.background.items()}
        spread = {name: torch.where((each > 0) & (name not in names), each, 1.0) for name, each in spread.items()}
        return cls(question, mutable, spread, names)

    def swaps(self, row: Tensor, donor: Tensor) -> Swaps:
        """All mutable players that differ taken; a missing input is one spread away from any that is there."""
        question = self.question
        distances, differing, ones = {}, {}, {}
        for name in question.names:
            x, other = question.inputs[name][row], question.background[name][donor]
            differing[name] = (x != other).to(x.dtype)
            far = differing[name] if name in self.names else (x - other).abs() / self.spread[name]
            distances[name] = far.nan_to_num(nan=1.0)
            ones[name] = torch.ones_like(x)
        players = question.players.at(row)
        change = players.pooled(distances).double() / players.pooled(ones).double().clamp_min(1)
        return Swaps(row, donor, (players.pooled(differing) > 0) & self.mutable, change)

    def all_swaps(self, row: Tensor, donor: Tensor) -> Iterator[tuple[slice, Swaps]]:
        """The same, some at a time."""
        for part in parts(self.question, len(row)):
            yield part, self.swaps(row[part], donor[part])


def candidates(metric: Metric, line: Line, plain: Tensor, most: int) -> tuple[Swaps, int]:
    """The nearest donors of each row that bring it across, all mutable players taken; and rows asked for it.

    Args:
        metric: What may change.
        line: What must be crossed.
        plain: ``(background, outputs)``: outputs of the background.
        most: Donors of a row at most.
    """
    question = metric.question
    rows, donors = len(question), len(plain)
    everyone = torch.arange(rows * donors, device=plain.device)
    row, donor = everyone // donors, everyone % donors
    crossed, sent = _crossed(metric, line, plain, (row, donor))
    able = crossed.nonzero().flatten()
    far = torch.full((rows * donors,), torch.inf, dtype=torch.float64, device=plain.device)
    for part, swaps in metric.all_swaps(row[able], donor[able]):
        far[able[part]] = swaps.distance()
    near = far.view(rows, donors).sort(dim=1, stable=True)
    chosen, place = near.values[:, :most].isfinite().nonzero(as_tuple=True)
    blocks = [swaps for _, swaps in metric.all_swaps(chosen, near.indices[chosen, place])]
    if not blocks:
        return metric.swaps(chosen, chosen), sent
    return Swaps(*(torch.cat([getattr(each, name) for each in blocks]) for name in Swaps.__annotations__)), sent


def _crossed(metric: Metric, line: Line, plain: Tensor, pairs: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
    """Whether each row with all mutable players of a donor is across; and rows asked for it. Shape: pairs → pairs."""
    question, mutable = metric.question, metric.mutable
    row, donor = pairs
    if bool(mutable.all()):  # then what is taken is the whole donor
        found = [line.margin(plain[donor[part]], row[part]) for part in parts(question, len(row))]
        return torch.cat(found).isfinite(), 0
    jobs = Jobs(row, donor, lambda part: mutable.expand(len(row[part]), -1))
    asked = answers(question, question.inputs, question.background, jobs)
    return torch.cat([line.margin(outputs, row[part]) for part, outputs in asked]).isfinite(), len(jobs)


def reverted(question: Question, line: Line, swaps: Swaps, deadline: Deadline) -> tuple[Swaps, int, bool]:
    """Give players back: first as many at once as can be, then one by one, the one that leaves the row farthest across.

    Returns:
        What remains, rows asked for it, and whether the time sufficed.
    """
    taken, sent = (swaps.taken.clone(), 0) if deadline.over else _at_once(question, line, swaps)
    open_ = torch.arange(len(swaps), device=taken.device)
    while len(open_):
        if deadline.over:
            return replace(swaps, taken=taken), sent, False
        here, player = taken[open_].nonzero(as_tuple=True)
        margins, asked = _margins(question, line, replace(swaps, taken=taken), (open_[here], player))
        sent += asked
        table = torch.full((len(open_), taken.shape[1]), -torch.inf, dtype=torch.float64, device=taken.device)
        table[here, player] = margins
        best, given = table.max(1)
        able = best.isfinite()
        taken[open_[able], given[able]] = False
        open_ = open_[able]
    return replace(swaps, taken=taken), sent, True


def _at_once(question: Question, line: Line, swaps: Swaps) -> tuple[Tensor, int]:
    """Give back the players that are needed least, the most of them after which the row is across still.

    Returns:
        What remains, ``(swaps, players)``, and rows asked for it.
    """
    here, player = swaps.taken.nonzero(as_tuple=True)
    margins, alone = _margins(question, line, swaps, (here, player))
    needed = torch.full(swaps.taken.shape, torch.inf, dtype=torch.float64, device=margins.device)
    needed[here, player] = -margins
    rank = needed.argsort(dim=1, stable=True).argsort(dim=1)  # of each player among those of its swap
    count = rank[here, player] + 1  # as many prefixes as there are players to give back
    jobs = Jobs(
        swaps.row[here],
        swaps.donor[here],
        lambda part: swaps.taken[here[part]] & (rank[here[part]] >= count[part].unsqueeze(1)),
    )
    across = torch.zeros(len(count), dtype=torch.bool, device=count.device)
    for part, outputs in answers(question, question.inputs, question.background, jobs):
        across[part] = line.margin(outputs, jobs.row[part]).isfinite()
    most = torch.zeros(len(swaps), dtype=count.dtype, device=count.device)
    most = most.scatter_reduce(0, here, torch.where(across, count, 0), "amax")
    return swaps.taken & (rank >= most.unsqueeze(1)), alone + len(jobs)


def cheapest(swaps: Swaps, rows: int) -> Tensor:
    """For each row the position of its cheapest swap, the earlier of equals; -1 where there is none. Shape: → rows."""
    found = torch.full((rows,), -1, dtype=torch.long, device=swaps.row.device)
    for position in reversed(swaps.distance().argsort(stable=True).tolist()):
        found[swaps.row[position]] = position
    return found


def _margins(question: Question, line: Line, swaps: Swaps, back: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
    jobs = swaps.without(*back)
    found = [
        line.margin(outputs, jobs.row[part])
        for part, outputs in answers(question, question.inputs, question.background, jobs)
    ]
    return (torch.cat(found) if found else torch.empty(0, dtype=torch.float64, device=swaps.row.device)), len(jobs)
