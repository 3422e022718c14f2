"""Shapley values of games too large for all coalitions: rounds that grow until the error is small enough."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from autodl_explainers._game import Game, Table
from autodl_explainers._shapley_coalitions import (
    draw_coalitions,
    every_coalition,
    exact_interactions,
    exact_values,
    without_diagonal,
)
from autodl_explainers._shapley_process import EVEN, SEEN, Posterior, Process, learn

ROUNDING = 1e-6
"""Of a row's output: errors below it are float32's."""
SAFETY = 1.5
"""What time is taken to need, as a multiple of what the model was seen to need."""
LEAST_GROWTH, MOST_GROWTH = 1.5, 4.0
"""Of the coalitions from round to round."""
SLICES = 8
"""Parts of a round after which the clock is looked at."""
FEWEST = 8
"""Pairs of coalitions that are asked however little time there is."""


@dataclass(frozen=True)
class Effort:
    """How far to go.

    Attributes:
        evaluations: Coalitions a row, at most.
        tolerance: A row is done when no standard error exceeds this share of the spread of its values.
        until: Time by ``time.perf_counter`` at which to stop.
        memory: Bytes that may be held.
        interactions: Whether pairs are asked for too; no row is done early then.
        seed: Of the coalitions.
    """

    evaluations: int
    tolerance: float
    until: float = math.inf
    memory: int = 2**26
    interactions: bool = False
    seed: int = 0

    def affords(self, seconds: float) -> bool:
        """Whether so much of the model's time is left."""
        return SAFETY * seconds <= self.until - time.perf_counter()


@dataclass(frozen=True, eq=False)
class Shares:
    """What was found at one table.

    Attributes:
        values: ``(rows, targets, seats)``.
        errors: Likewise; zeros where values are exact.
        interactions: ``(rows, targets, seats, seats)``; None unless asked for.
        asked: ``(rows,)``: coalitions.
        done: ``(rows,)``: whether the tolerance was reached.
    """

    values: Tensor
    errors: Tensor
    interactions: Tensor | None
    asked: Tensor
    done: Tensor


def solve(game: Game, table: Table, effort: Effort) -> Shares:
    """Values from all coalitions. Rows are taken some at a time, as memory allows."""
    seats, targets = len(table), len(game.targets)
    coalitions = every_coalition(seats)
    some = max(1, effort.memory // (32 * len(coalitions) * targets))
    values, interactions = [], []
    for start in range(0, len(table.rows), some):
        rows = torch.arange(start, min(start + some, len(table.rows)))
        part = table.at(rows)
        between = game.worth(part, coalitions[1:-1])
        empty, full = game.empty.expand(1, len(rows), targets), game.full[part.rows].unsqueeze(0)
        worths = torch.cat([empty, between, full]) if seats else full  # nobody is everybody
        worths = worths.flatten(1)
        values.append(exact_values(worths).view(len(rows), targets, seats))
        if effort.interactions:
            interactions.append(exact_interactions(worths).view(len(rows), targets, seats, seats))
    found, asked = torch.cat(values), torch.full((len(table.rows),), len(coalitions))
    pairs = torch.cat(interactions) if interactions else None
    return Shares(found, torch.zeros_like(found), pairs, asked, torch.ones_like(asked, dtype=torch.bool))


def estimate(game: Game, table: Table, effort: Effort) -> Shares:
    """Values from some coalitions, the same for all rows; rows that are good enough leave."""
    rounds = Rounds(game, table, effort)
    while len(rounds.open):
        more = rounds.next_count()
        if more:
            rounds.ask(more)
        rounds.judge(last=not more or len(rounds.odd) > rounds.most)
    return rounds.found


class Rounds:
    """Coalitions asked so far, rows still open, and what was found for the others."""

    def __init__(self, game: Game, table: Table, effort: Effort) -> None:
        self.game, self.table, self.effort = game, table, effort
        rows, targets, seats = len(table.rows), len(game.targets), len(table)
        affordable = int(math.sqrt(effort.memory / 24))  # three matrices of pairs × pairs
        self.coalitions = draw_coalitions(seats, max(1, min(effort.evaluations // 2 - 1, affordable)), effort.seed)
        self.most = len(self.coalitions)
        everybody = torch.ones(1, seats, dtype=torch.float64)
        self.signs = torch.cat([everybody, 2.0 * self.coalitions.double() - 1])
        self.open = torch.arange(rows)
        full, empty = game.full[table.rows].unsqueeze(0), game.empty
        self.odd, self.even = (full - empty) / 2, (full + empty) / 2  # pairs and everybody, rows, targets
        self.process = Process(torch.ones(seats, dtype=torch.float64))
        self.told: Tensor | None = None
        self.growth = 1.0
        pairs = torch.zeros(rows, targets, seats, seats, dtype=torch.float64) if effort.interactions else None
        shape = (rows, targets, seats)
        self.found = Shares(
            torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64), pairs,
            torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.bool),
        )  # fmt: skip

    def next_count(self) -> int:
        """How many more pairs to ask: what half of the open rows seem to need, if time allows; 0 to stop."""
        asked = len(self.odd) - 1
        wanted = min(self.most, max(int(self.growth * asked), 2 * len(self.table) + FEWEST)) - asked
        cost = 2 * len(self.open) * self.game.background * self.game.seconds_per_row
        left = (self.effort.until - time.perf_counter()) / (SAFETY * max(cost, 1e-12))
        if left < wanted and asked:
            return int(left) if left > asked / 8 else 0
        return wanted if left >= wanted else min(wanted, max(FEWEST, int(left)))

    def ask(self, count: int) -> None:
        """Ask some pairs of coalition and complement about the open rows; fewer where the time is up meanwhile."""
        asked, table = len(self.odd) - 1, self.table.at(self.open)
        odd, even = [self.odd], [self.even]
        for some in torch.split(self.coalitions[asked : asked + count], max(FEWEST, -(-count // SLICES))):
            present, absent = self.game.worth(table, torch.cat([some, ~some])).chunk(2)
            odd.append((present - absent) / 2)
            even.append((present + absent) / 2)
            if time.perf_counter() > self.effort.until:
                break
        self.odd, self.even = torch.cat(odd), torch.cat(even)

    def judge(self, last: bool) -> None:
        """Work out values; rows that are good enough, or all, take theirs and leave."""
        signs, rows = self.signs[: len(self.odd)], len(self.open)
        worths = self.odd.flatten(1)
        if self.told is None or len(signs) <= 2 * SEEN:
            self.process = learn(self.process, signs, worths, self.told)
        values, errors = Posterior(self.process, signs, worths).values()
        values += ((2 * worths[0] - values.sum(1)) / len(self.table)).unsqueeze(1)  # rounding, no more
        self.told = values
        values, errors = values.view(rows, -1, len(self.table)), errors.view(rows, -1, len(self.table))
        spread = values.amax(2) - values.amin(2)
        noise = ROUNDING * self.game.full[self.table.rows[self.open]].abs()
        excess = (errors.amax(2) / (self.effort.tolerance * spread + noise).clamp_min(1e-300)).amax(1)
        good = excess <= 1
        leave = good & (not self.effort.interactions) | last  # small errors of values say nothing of pairs
        self._settle(leave, good, values, errors)
        if not bool(leave.all()):  # errors shrink with the square root of what is asked
            self.growth = min(MOST_GROWTH, max(LEAST_GROWTH, float(excess[~leave].median()) ** 2))
        self.open, self.odd, self.even = self.open[~leave], self.odd[:, ~leave], self.even[:, ~leave]
        self.told = self.told.view(rows, -1, len(self.table))[~leave].flatten(0, 1)

    def _settle(self, leave: Tensor, good: Tensor, values: Tensor, errors: Tensor) -> None:
        rows, found = self.open[leave], self.found
        found.values[rows], found.errors[rows] = values[leave], errors[leave]
        found.asked[rows], found.done[rows] = 2 * len(self.odd), good[leave]
        if found.interactions is None or not len(rows):
            return
        signs, worths = self.signs[: len(self.odd)], self.even[:, leave].flatten(1)
        worths = worths - worths.mean(0)  # the constant says nothing of pairs
        alike = Process(torch.ones_like(self.process.weights), EVEN, (1.0, 0.0, -2.5, -5.0))
        process = learn(learn(alike, signs, worths, None), signs, worths, values[leave].flatten(0, 1))
        pairs = without_diagonal(Posterior(process, signs, worths).interactions())
        found.interactions[rows] = pairs.view(len(rows), -1, *pairs.shape[1:])
