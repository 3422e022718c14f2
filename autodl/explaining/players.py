"""Who takes part: columns, whole inputs, or parts of them: segments of images, words of texts, bands of time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from autodl.attribution import Players
from autodl.errors import ExplanationError
from autodl.explaining import _bands, _segments, _words
from autodl.records import InputSpec

PartKind: TypeAlias = Literal["image", "text", "sound"]
PART_KINDS: tuple[PartKind, ...] = ("image", "text", "sound")
SEGMENTS = 24
"""Segments that an image is divided into: few enough to be told apart, and to be estimated well."""
OTHERS = "all other columns"
"""What players are called together that are not told apart."""


def part_kind(spec: InputSpec) -> PartKind | None:
    """What an input has parts like; None where it has none, as tables have."""
    if len(spec.columns) != 1:
        return None
    if spec.axes == ("channel", "height", "width"):
        return "image"
    if spec.axes[-1] == "time":
        return "sound"
    return "text" if spec.axes[0] == "token" else None


def column_players(specs: Mapping[str, InputSpec], order: Sequence[str] = ()) -> Players:
    """Every column is one player, in whatever views it stands: all features of a category together, a whole image.

    Args:
        specs: What each view looks like.
        order: The columns in the table's order; those that it does not name follow.
    """
    found = list(dict.fromkeys([*order, *(column for key in sorted(specs) for column in specs[key].columns)]))
    there = {column for spec in specs.values() for column in spec.columns}
    names = [column for column in found if column in there]
    place = {column: position for position, column in enumerate(names)}
    index = {
        key: torch.tensor([place[column] for column in spec.columns])[spec.feature_mask] for key, spec in specs.items()
    }
    return Players(tuple(names), index)


def input_players(specs: Mapping[str, InputSpec], inputs: Mapping[str, str]) -> Players:
    """Every input is one player: the table, each image.

    Args:
        specs: What each view looks like.
        inputs: View → the input that it is a view of.
    """
    names = tuple(sorted(set(inputs.values())))
    return Players(names, {key: torch.full(spec.shape, names.index(inputs[key])) for key, spec in specs.items()})


def segment_players(
    specs: Mapping[str, InputSpec], inputs: Mapping[str, Tensor], order: Sequence[str] = (), count: int = SEGMENTS
) -> Players:
    """As ``part_players``, but that images alone are divided.

    Raises:
        ExplanationError: There is no image to divide.
    """
    if not any(part_kind(spec) == "image" for spec in specs.values()):
        raise ExplanationError("segments must be those of an image, however there is no image column; take columns")
    return part_players(specs, inputs, order, Division(kinds={"image"}, segments=count))


@dataclass(frozen=True, eq=False)
class Division:
    """What is divided, and what is known that it takes.

    Attributes:
        kinds: What is divided.
        cells: The texts of the rows, by column.
        views: What the views are made by: those of texts tell where their ``pieces`` stand, those of sounds how many
            ``seconds_per_frame`` there are.
        segments: Segments an image.
        frequencies: Bands of frequencies into which each band of time of a sound is divided, 1 to 3.
    """

    kinds: Collection[PartKind] = PART_KINDS
    cells: Mapping[str, Sequence[object]] = field(default_factory=dict)
    views: Mapping[str, object] = field(default_factory=dict)
    segments: int = SEGMENTS
    frequencies: int = 1

    def parts(
        self, column: str, specs: Mapping[str, InputSpec], inputs: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """The part of every place in all views of one column, counted from 0, and what parts are called."""
        kind = part_kind(next(iter(specs.values())))
        if kind == "sound":
            index, names = _bands.divided(specs, inputs, self.views, self.frequencies)
        elif kind == "text":
            pieces = {key: view.pieces for key, view in self.views.items() if hasattr(view, "pieces")}
            cells = self.cells.get(column, [None] * len(next(iter(inputs.values()))))
            index = _words.divided(specs, inputs, cells, pieces)
            names = [f"word {number + 1}" for number in range(_count(index))]
        else:
            index = _segments.divided(specs, inputs, self.segments)
            names = [f"segment {number + 1}" for number in range(_count(index))]
        return index, [f"{column} {name}" for name in names]


def part_players(
    specs: Mapping[str, InputSpec],
    inputs: Mapping[str, Tensor],
    order: Sequence[str] = (),
    division: Division | None = None,
) -> Players:
    """Columns as players, but for images, texts and sounds, each of which is divided into parts of its own.

    An image is divided into segments of like colour, a text into its words, a sound into bands of time that are as
    long as each other. All views of one column share its parts, whatever their size and wherever they cut a text into
    tokens. A row that lacks the column has one part of it, the first, which is the whole. What of a column has no place
    in it, such as the numbers that a network made of an image, is one player more: the column ``as a whole``.

    Args:
        specs: What each view looks like.
        inputs: The rows, by view.
        order: The columns in the table's order.
        division: What is divided; everything that can be, if None.
    """
    division = division or Division()
    whole = column_players(specs, order)
    parted: dict[str, dict[str, InputSpec]] = {}
    for key, spec in sorted(specs.items()):
        kind = part_kind(spec)
        if kind in division.kinds and all(part_kind(each) == kind for each in parted.get(spec.columns[0], {}).values()):
            parted.setdefault(spec.columns[0], {})[key] = spec
    names, rows = [name for name in whole.names if name not in parted], len(next(iter(inputs.values())))
    index: dict[str, Tensor] = {}
    for column in [name for name in whole.names if name in parted]:
        mine = parted[column]
        found, parts = division.parts(column, mine, {key: inputs[key] for key in mine})
        index |= {key: each + len(names) for key, each in found.items()}
        names += parts
    for key in [key for key in specs if key not in index]:
        index[key] = _undivided(specs[key], names, parted).expand(rows, *specs[key].shape)
    return Players(tuple(names), index, own=True)


def lumped(players: Players, names: Sequence[str]) -> Players:
    """The named players, in their order; all others are one, called ``OTHERS``."""
    kept = [name for name in players.names if name in names]
    place = torch.tensor([kept.index(name) if name in kept else len(kept) for name in players.names])
    several = len(kept) < len(players)
    index = {key: place[each] for key, each in players.index.items()}
    return Players((*kept, *([OTHERS] if several else [])), index, players.own)


def _count(found: Mapping[str, Tensor]) -> int:
    return 1 + max(int(each.max()) for each in found.values())


def _undivided(spec: InputSpec, names: list[str], parted: Collection[str]) -> Tensor:
    """The player of every entry of a view without parts; one is added to the names where its column has some.

    Shape: → *shape
    """
    places = []
    for column in spec.columns:
        name = f"{column} as a whole" if column in parted else column
        if name not in names:
            names.append(name)
        places.append(names.index(name))
    return torch.tensor(places)[spec.feature_mask]
