"""Shapley values of players: exact for few, with a standard error for many."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Float, Integer, Space
from autodl_explainers._game import Game, Table, tables
from autodl_explainers._shapley_sampling import Effort, Shares, estimate, solve

FEWEST_ROWS = 16
"""That share their coalitions, however little memory there is."""


class Shapley(Explainer):
    """Each player's mean effect on joining the others, over all orders in which they may come.

    A coalition is worth the mean output over background rows, of rows that have the coalition's entries from the row to
    explain and all others from the background. Up to ``exact_players`` all coalitions are asked. Above, coalitions and
    their complements are drawn, the same for all rows, and the game's Walsh terms of up to fifth order are told from
    them as a Gaussian process (``_shapley_process``), which gives values and standard errors; rounds double until
    errors are small. It needs no gradient. Time and coalitions are limits, whichever is met first.

    ``found`` holds ``coalitions``: ``(rows,)``, how many were asked.

    Reference:
        Shapley: A value for n-person games, 1953; Lundberg, Lee: A Unified Approach to Interpreting Model Predictions,
        arXiv 1705.07874, eq. 8; Covert, Lee: Improving KernelSHAP, arXiv 2012.01536 (pairs, convergence).
    """

    space: ClassVar[Space] = Space(
        evaluations=Integer(
            64, 4096, log=True, limits=(2, 65536), default=1024, doc="coalitions a row, at most, unless all are asked"
        ),
        tolerance=Float(
            0.001, 0.1, log=True, limits=(0.0, 1.0), default=0.02,
            doc="largest standard error at which a row is done, as a share of the spread of its values",
        ),
        interactions=Choice(False, True, doc="whether to say what pairs do beyond each alone; takes all evaluations"),
        exact_players=Integer(1, 14, limits=(0, 20), default=12, doc="players up to which all coalitions are asked"),
    )  # fmt: skip
    complete: ClassVar[bool] = True

    def attribute(self, question: Question) -> Attribution:
        """Return the values of one output."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """Return the values of some outputs, for little more than those of one."""
        until = math.inf if question.seconds is None else time.perf_counter() + question.seconds
        game = Game(question, targets)
        found = _Found(question, len(targets), self.settings["interactions"])
        left = len(question)
        some = max(FEWEST_ROWS, question.memory // (64 * self.settings["evaluations"] * len(targets)))
        for table in (whole.at(rows) for whole in tables(question) for rows in _parts(len(whole.rows), some)):
            now = time.perf_counter()
            share = now + (until - now) * len(table.rows) / left
            found.put(table, self._play(game, table, self._effort(question, share)))
            left -= len(table.rows)
        return [
            Attribution(
                values=found.values[index].to(game.device),
                base=game.empty[index].to(game.device),
                standard_error=found.errors[index].to(game.device) if found.estimated else None,
                interactions=None if found.interactions is None else found.interactions[index].to(game.device),
                evaluations=game.evaluations,
                found={"coalitions": found.asked},
                notes=found.notes(),
            )
            for index in range(len(targets))
        ]

    def _effort(self, question: Question, until: float) -> Effort:
        wanted = {name: self.settings[name] for name in ("evaluations", "tolerance", "interactions")}
        return Effort(**wanted, until=until, memory=question.memory, seed=question.seed)

    def _play(self, game: Game, table: Table, effort: Effort) -> Shares:
        """Ask all coalitions where they are few and time is enough, else some."""
        seats = len(table)
        few = seats <= self.settings["exact_players"] or (seats < 20 and 2**seats <= effort.evaluations)
        cost = 2.0**seats * len(table.rows) * game.background * game.seconds_per_row
        if few and (seats < 3 or effort.affords(cost)):
            return solve(game, table, effort)
        if few:  # there is no time for all: half of them would leave nothing to gain
            effort = replace(effort, evaluations=min(effort.evaluations, 2 ** (seats - 1)))
        return estimate(game, table, effort)


class _Found:
    """What was found at all tables, put back in the order of rows and players."""

    def __init__(self, question: Question, targets: int, interactions: bool) -> None:
        rows, players = len(question), len(question.players)
        self.values = torch.zeros(targets, rows, players, dtype=torch.float64)
        self.errors = torch.zeros_like(self.values)
        self.interactions: Tensor | None = None
        if interactions:
            self.interactions = torch.zeros(targets, rows, players, players, dtype=torch.float64)
        self.asked = torch.zeros(rows, dtype=torch.long)
        self.rows: dict[int, list[Tensor]] = {}  # by the number of seats, where values are estimated
        self.done = torch.ones(rows, dtype=torch.bool)

    def put(self, table: Table, shares: Shares) -> None:
        """Take in one table's shares."""
        rows, players = table.rows.unsqueeze(1), table.players
        self.values[:, rows, players] = shares.values.transpose(0, 1)
        self.errors[:, rows, players] = shares.errors.transpose(0, 1)
        if self.interactions is not None and shares.interactions is not None:
            pairs = (players.unsqueeze(2), players.unsqueeze(1))
            self.interactions[:, rows.unsqueeze(2), *pairs] = shares.interactions.transpose(0, 1)
        self.asked[table.rows] = shares.asked
        self.done[table.rows] = shares.done
        if bool((shares.asked < 2.0 ** len(table)).any()):
            self.rows.setdefault(len(table), []).append(table.rows)

    @property
    def estimated(self) -> bool:
        """Whether any value is."""
        return bool(self.rows)

    def notes(self) -> tuple[str, ...]:
        """How far estimates went, in words."""
        if not self.rows:
            return ()
        rows = torch.cat([each for parts in self.rows.values() for each in parts])
        seats = f"{min(self.rows)}" if len(self.rows) == 1 else f"{min(self.rows)} to {max(self.rows)}"
        all_of_them = f"2^{min(self.rows)}" if len(self.rows) == 1 else f"2^{min(self.rows)} and more"
        least, most = int(self.asked[rows].min()), int(self.asked[rows].max())
        count = str(most) if least == most else f"{least} to {most}"
        text = f"values of {seats} players are estimated from {count} of {all_of_them} coalitions a row"
        if unfinished := int((~self.done[rows]).sum()):
            text += f"; {unfinished} of {len(rows)} rows ran out of coalitions or time before the tolerance was met"
        return (text,)


def _parts(count: int, some: int) -> Iterator[Tensor]:
    """Positions up to a count, some at a time."""
    for start in range(0, count, some):
        yield torch.arange(start, min(start + some, count))
