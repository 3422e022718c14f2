"""The game that an explanation is judged by: players are taken away, and the model is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.errors import ExplanationError

RANDOM = 8
"""Random explanations that each measure is told beside."""
ROWS_AT_ONCE = 1024  # larger batches are slower on a CPU: they fall out of its cache
COPIES = 4  # of a batch of inputs: as they are, what stays, what fills in, the result
PATCHES = 16
"""Patches along a side of an image that is one player, where an explanation speaks of its pixels."""
ROUNDING = 1e-5
"""Of the outputs' own size: differences below are float32's."""


@dataclass(frozen=True, eq=False)
class Found:
    """What one measure found.

    Attributes:
        rows: ``(rows,)``; NaN where it says nothing of a row.
        random: ``(rows,)``: the same of random explanations, their mean.
        curve: To draw.
    """

    rows: Tensor
    random: Tensor
    curve: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Game:
    """A question, and the value that each player is said to have.

    Attributes:
        question: Its ``target`` is the explained output.
        values: ``(rows, players)``, float64.
        present: BoolTensor ``(rows, players)``: who has an entry in the row that is not missing, and can be taken away.
        entries: Of the attribution.
    """

    question: Question
    values: Tensor
    present: Tensor
    entries: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def count(self) -> Tensor:
        """Players that are present. Shape: → rows."""
        return self.present.sum(1)

    @cached_property
    def whole(self) -> Tensor:
        """The output where nobody is taken away. Shape: → rows."""
        return self.outputs(torch.ones_like(self.present)[:, None])[:, 0]

    @cached_property
    def empty(self) -> Tensor:
        """The output where everybody is taken away. Shape: → rows."""
        return self.outputs(torch.zeros_like(self.present)[:, None])[:, 0]

    @cached_property
    def direction(self) -> Tensor:
        """1 where all players together raise the output, -1 where they lower it. Shape: → rows."""
        return torch.where(self.whole < self.empty, -1.0, 1.0).double()

    @cached_property
    def scale(self) -> Tensor:
        """What all players together do to the output, over all rows; NaN where that is rounding."""
        size = (self.whole - self.empty).abs().mean()
        return torch.where(size > ROUNDING * self.whole.abs().mean(), size, torch.nan)

    def left(self, outputs: Tensor) -> Tensor:
        """Outputs as share of what all players together do: 1 with all of them, 0 with none. Shape: rows … → rows …."""
        like = (-1,) + (1,) * (outputs.dim() - 1)
        return (outputs - self.empty.view(like)) * self.direction.view(like) / self.scale

    def at(self, rows: slice) -> Game:
        """The same about some rows."""
        entries = None if self.entries is None else {name: each[rows] for name, each in self.entries.items()}
        found = Game(self.question.at(rows), self.values[rows], self.present[rows], entries)
        found._knows(self, rows)
        return found

    def parts(self, many: int) -> Iterator[Game]:
        """Some rows at a time, so few that ``many`` sets of players for each of them fit into the memory."""
        each = 32 * many * max(1, self.values.shape[1])  # a mask, and the numbers that it is drawn from
        step = max(1, self.question.memory // each)
        for start in range(0, len(self), step):
            yield self.at(slice(start, start + step))

    def outputs(self, keep: Tensor, filler: Tensor | None = None) -> Tensor:
        """The explained output with only some players left.

        Args:
            keep: BoolTensor ``(rows, many, players)``.
            filler: ``(rows, many)``: the background row whose entries those take who are away; the baseline's if None.

        Shape:
            → rows many
        """
        rows, many, _ = keep.shape
        flat = keep.flatten(0, 1)
        fill = None if filler is None else filler.flatten()
        told = []
        for at in torch.split(torch.arange(rows * many, device=keep.device), self._rows_at_once):
            row = torch.div(at, many, rounding_mode="floor")
            inputs = {name: self._left(name, row, flat[at], None if fill is None else fill[at]) for name in self.names}
            told.append(self.ask(inputs)[:, self.question.target])
        return torch.cat(told).view(rows, many) if told else keep.new_zeros(rows, many, dtype=torch.float64)

    @torch.no_grad()
    def ask(self, inputs: dict[str, Tensor]) -> Tensor:
        """All outputs. Shape: {input: batch *shape} → batch outputs, float64."""
        return self.question.model(inputs).double()

    def shuffled(self, generator: torch.Generator) -> Game:
        """A random explanation: each row's own values, dealt out by chance among its players."""
        found = replace(self, values=shuffled(self.values, self.present, generator))
        found._knows(self, slice(None))
        return found

    def ranks(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Each player's place from the highest value, 0, down; ties by chance, who is absent last.

        Shape: rows players → rows players
        """
        mixed = draw(values.shape, generator, values.device).argsort(dim=1)
        held = values.masked_fill(~self.present, -torch.inf).gather(1, mixed)
        order = mixed.gather(1, held.argsort(dim=1, descending=True, stable=True))
        return torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs, sorted."""
        return self.question.names

    def _knows(self, other: Game, rows: slice) -> None:
        """What has been asked already, and does not hang on the values."""
        self.__dict__.update(
            {name: other.__dict__[name][rows] for name in ("whole", "empty") if name in other.__dict__}
        )

    @property
    def _rows_at_once(self) -> int:
        size = sum(x[:1].numel() * x.element_size() for x in self.question.inputs.values())
        return max(1, min(ROWS_AT_ONCE, self.question.memory // (COPIES * max(1, size))))

    def _left(self, name: str, row: Tensor, keep: Tensor, filler: Tensor | None) -> Tensor:
        """One input of some rows, with what is taken away filled in; what is missing stays missing."""
        x = self.question.inputs[name][row]
        players = self.question.players
        index = players.index[name][row] if players.own else players.index[name].unsqueeze(0)
        kept = keep.gather(1, index.flatten(1).expand(len(x), -1)).view_as(x)
        fill = self.question.baseline[name] if filler is None else self.question.background[name][filler]
        return torch.where(kept | x.isnan(), x, fill.to(x))


def draw(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform numbers that are the same on every device."""
    return torch.rand(shape, generator=generator).to(device)


def shuffled(values: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
    """Each row's values, dealt out by chance among those present. Shape: rows players → rows players."""
    first = (~present).to(torch.uint8).argsort(dim=1, stable=True)
    drawn = draw(tuple(values.shape), generator, values.device).masked_fill(~present, 2).argsort(dim=1)
    return values.scatter(1, first, values.gather(1, drawn))


def game_of(question: Question, attribution: Attribution) -> Game:
    """Return the game that an attribution is judged by.

    Where it speaks of single entries, and a whole image is one player, that image's patches are players instead.

    Raises:
        ExplanationError: The method says nothing of players.
    """
    question = replace(question, target=attribution.target)
    if not attribution.values.shape[1]:
        raise ExplanationError(
            f"an explanation must give players values to be measured, however {attribution.explainer or 'this one'} "
            "speaks of something else; measure one that does"
        )
    device = next(iter(question.inputs.values())).device
    values = attribution.values.detach().to(device).double().expand(len(question), -1)
    entries = attribution.entries
    if entries is not None:
        entries = {name: each.detach().to(device).double().nan_to_num() for name, each in entries.items()}
        question, values = _in_patches(question, values, entries)
    present = _present(question)
    return Game(question, torch.where(present, values, 0.0), present, entries)


def _present(question: Question) -> Tensor:
    """Who can be taken away. Shape: → rows players."""
    found = torch.zeros(len(question), len(question.players), dtype=torch.bool, device=_device(question))
    for name, x in question.inputs.items():
        there = ~x.flatten(1).isnan().all(1, keepdim=True)
        index = question.players.rows(name).flatten(1).expand(len(x), -1)
        found |= torch.zeros_like(found).scatter_(1, index, there.expand(index.shape))
    return found


def _device(question: Question) -> torch.device:
    return next(iter(question.inputs.values())).device


def _in_patches(question: Question, values: Tensor, entries: Mapping[str, Tensor]) -> tuple[Question, Tensor]:
    """Images that are one player each, divided into patches; all views of one image into the same ones."""
    players = question.players
    whole = {
        name: int(index.flatten()[0])
        for name, index in players.index.items()
        if not players.own and name in entries and index.dim() == 3 and bool((index == index.flatten()[0]).all())
    }
    if not whole:
        return question, values
    names, index = list(players.names), dict(players.index)
    for player in sorted(set(whole.values())):
        views = [name for name in sorted(whole) if whole[name] == player]
        down, across = (min(PATCHES, *(index[name].shape[side] for name in views)) for side in (1, 2))
        for name in views:
            index[name] = len(names) + _grid(index[name], down, across)
        names += [f"{players.names[player]} patch {number + 1}" for number in range(down * across)]
    divided = Players(tuple(names), index)
    pooled = divided.pooled({name: entries[name] for name in whole})
    return replace(question, players=divided), torch.cat([values, pooled[:, len(players) :]], dim=1)


def _grid(like: Tensor, down: int, across: int) -> Tensor:
    """The patch of every pixel. Shape: channels height width → channels height width."""
    _, height, width = like.shape
    y = torch.arange(height, device=like.device) * down // height
    x = torch.arange(width, device=like.device) * across // width
    return (y[:, None] * across + x).expand(like.shape)
