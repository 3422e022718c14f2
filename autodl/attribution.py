"""What an explainer is asked, and what it answers: the frozen records of explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autodl.records import InputSpec

Quantity: TypeAlias = Literal["probability", "number", "score", "output"]
"""What is explained: a class's probability; a number in the target's unit; what a network says before softmax; whatever
a module of the user's own says."""
MEMORY = 64 * 2**20
"""Bytes that an explainer may hold at a time beside the model and its own answer, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Players:
    """Which entries of the inputs are one player: a column, an image segment, a token, a band of time, a whole input.

    Attributes:
        names: One a player.
        index: For each input the player that every entry belongs to, a LongTensor of the row's ``shape``; with
            ``own`` ``(rows, *shape)``: every row has a division of its own, as image segments are, and a player that
            has no entry in a row is nobody there.
        own: Whether every row has a division of its own.
    """

    names: tuple[str, ...]
    index: Mapping[str, Tensor]
    own: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, name: str) -> Tensor:
        """The player of every entry of some rows. Shape: → rows *shape, or 1 *shape where all are alike."""
        return self.index[name] if self.own else self.index[name].unsqueeze(0)

    def at(self, rows: Tensor | slice) -> Players:
        """The same for some rows only."""
        if not self.own:
            return self
        return replace(self, index={name: each[rows] for name, each in self.index.items()})

    def pooled(self, entries: Mapping[str, Tensor]) -> Tensor:
        """The sum over each player's entries. Shape: {input: rows *shape} → rows players."""
        total: Any = 0.0
        for name in sorted(entries):
            flat = entries[name].flatten(1)
            index = self.rows(name).flatten(1).expand(flat.shape)
            total = total + flat.new_zeros(len(flat), len(self)).scatter_add_(1, index, flat)
        return total  # type: ignore[no-any-return]

    def spread(self, values: Tensor) -> dict[str, Tensor]:
        """Every entry gets its player's value, whole. Shape: rows players → {input: rows *shape}."""
        found = {}
        for name in sorted(self.index):
            index = self.rows(name)
            flat = index.flatten(1).expand(len(values), -1)
            found[name] = values.gather(1, flat).view(len(values), *index.shape[1:])
        return found


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows with their targets, for methods that ask how wrong the model is.

    Attributes:
        inputs: Input name → ``(rows, *shape)``.
        targets: ``(rows, …)`` as ``loss`` takes them.
        loss: Outputs, targets → one value a row: what the model was fitted to make small.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Question:
    """All that an explainer is told.

    Attributes:
        model: Inputs → ``batch outputs``, every row by itself; an ``nn.Module`` in evaluation mode where gradients and
            layers may be asked for, any other callable where it is opaque.
        inputs: Input name → ``(rows, *shape)``, the rows to explain; a row of an input that is missing is all NaN.
        target: The output that is explained.
        specs: What each input looks like.
        players: Which entries count as one.
        background: Rows that stand for "nothing known": as a distribution for those methods that take one; no NaN.
        baseline: Input name → ``(1, *shape)``: the one row that stands for "nothing known"; no NaN.
        networks: The networks inside ``model``, in which layers are looked up; ``(model,)`` for a single one.
        seed: Source of all chance.
        memory: Bytes that may be held at a time beside the model and the answer.
        seconds: Wall time after which a method that can stop early shall do so; None for no limit.
        labelled: Rows with their targets, for methods that need them: training rows where it is asked which of them a
            prediction rests on, rows to judge by where it is asked what an error rests on.
        concepts: Concept name → inputs that show it, for methods that need them.
    """

    model: Callable[[dict[str, Tensor]], Tensor]
    inputs: Mapping[str, Tensor]
    target: int
    specs: Mapping[str, InputSpec]
    players: Players
    background: Mapping[str, Tensor]
    baseline: Mapping[str, Tensor]
    networks: tuple[nn.Module, ...] = ()
    seed: int = 0
    memory: int = MEMORY
    seconds: float | None = None
    labelled: Labelled | None = None
    concepts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs, sorted."""
        return tuple(sorted(self.inputs))

    def at(self, rows: Tensor | slice) -> Question:
        """The same question about some of the rows."""
        return replace(self, inputs={name: x[rows] for name, x in self.inputs.items()}, players=self.players.at(rows))


@dataclass(frozen=True, eq=False)
class Attribution:
    """What an explainer says, with its own error bar.

    Attributes:
        values: ``(rows, players)``: each player's share in the explained output; ``(1, players)`` of a method that
            answers for all rows together; ``(rows, 0)`` of one that speaks of something else than players.
        base: ``(rows,)`` or ``()``: the output that complete methods start from; 0 where there is no such thing.
        entries: Input name → ``(rows, *shape)``: the share of every single entry, of methods that go so far.
        standard_error: ``(rows, players)``: of ``values``, where they are estimated; None where they are computed.
        interactions: ``(rows, players, players)``: what two players do beyond each alone, symmetric with a diagonal
            of zeros; None where the method does not say.
        evaluations: Rows that were sent through the model.
        found: Whatever else was found, by names that the method documents.
        notes: What a reader must know, a sentence each.
        explainer: Name of the method; set by who asks, as all that follows.
        target: The output that is explained.
        output: ``(rows,)``: f(x).
        completeness_gap: ``(rows,)``: sum of the values less f(x) - base; None where the method makes no such promise.
    """

    values: Tensor
    base: Tensor
    entries: Mapping[str, Tensor] | None = None
    standard_error: Tensor | None = None
    interactions: Tensor | None = None
    evaluations: int = 0
    found: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    explainer: str = ""
    target: int = 0
    output: Tensor | None = None
    completeness_gap: Tensor | None = None

    def at(self, rows: Tensor) -> Attribution:
        """The same answer about some of its rows; what ``found`` holds stays as it is."""

        def some(value: Tensor | None) -> Any:
            return value if value is None or value.dim() == 0 else value[rows]

        names = ("values", "base", "standard_error", "interactions", "output", "completeness_gap")
        entries = None if self.entries is None else {name: each[rows] for name, each in self.entries.items()}
        return replace(self, entries=entries, **{name: some(getattr(self, name)) for name in names})
