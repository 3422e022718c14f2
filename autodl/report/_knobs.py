"""Recipes of trials as flat knobs, called as in the search space: ``table.mlp.depth``, ``optimizer.adamw.beta1``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodl import registry
from autodl.errors import AutoDLError
from autodl.leaderboard import model_name
from autodl.records import Component, TrialConfig
from autodl.space import Dimension, Float, Integer, Value
from autodl.training.settings import TRAINING_SPACE

MODEL = "model"
_WIDE = 8  # largest over smallest of some numbers, from which their axis is logarithmic


@dataclass(frozen=True)
class Knob:
    """One hyperparameter over some trials.

    Attributes:
        path: Its name in the search space.
        values: One a trial; None where it does not count.
        log: Whether its axis is logarithmic.
    """

    path: str
    values: tuple[Value | None, ...]
    log: bool

    @property
    def known(self) -> list[Value]:
        """The values of the trials in which it counts."""
        return [value for value in self.values if value is not None]

    @property
    def numeric(self) -> bool:
        """Whether it is a number in all of them."""
        return all(_is_number(value) for value in self.known)

    @property
    def options(self) -> list[Value]:
        """Every value once: numbers by size, others by name, numbers among names first."""
        return sorted(
            set(self.known), key=lambda value: (not _is_number(value), value if _is_number(value) else str(value))
        )

    @property
    def label(self) -> str:
        """Its name without the input that it belongs to, which is told only where there are several."""
        parts = self.path.split(".")
        return ".".join(parts[-2:]) if len(parts) > 2 else self.path


def varied(configs: Sequence[TrialConfig]) -> list[Knob]:
    """The knobs that have more than one value in these trials, the model first, then as they come."""
    rows = [settings(config) for config in configs]
    ranges: dict[str, Dimension | None] = {}
    for config in configs:
        for path, _, dimension in _walk(config):
            if ranges.get(path) is None:
                ranges[path] = dimension
    paths = dict.fromkeys(path for row in rows for path in row)
    knobs = [_knob(path, [row.get(path) for row in rows], ranges.get(path)) for path in paths]
    return [knob for knob in knobs if len(set(map(repr, knob.known))) > 1]


def settings(config: TrialConfig) -> dict[str, Value]:
    """Every knob of a recipe by its path; the choice of the model is ``model``."""
    return {MODEL: model_name(config), **{path: value for path, value, _ in _walk(config)}}


def _walk(config: TrialConfig) -> Iterator[tuple[str, Value, Dimension | None]]:
    """Path, value and range of each knob; a component that is not installed here has no ranges."""
    if config.estimator:
        yield from _of(("estimator",), registry.estimators, config.estimator)
        yield from ((f"estimator.{name}", value, None) for name, value in config.training.items())
        return
    for room, parts in ((registry.encoders, config.encoders), (registry.modalities, config.modalities)):
        for name, part in sorted(parts.items()):
            yield from _of((name,), room, part)
    chosen = (("fusion", registry.fusions, config.fusion), ("loss", registry.losses, config.loss))
    for room_name, its_room, one in (*chosen, ("optimizer", registry.optimizers, config.optimizer)):
        if one is not None and one.name:
            yield room_name, one.name, None
            yield from _of((room_name,), its_room, one)
    for name, value in config.training.items():
        yield f"training.{name}", value, TRAINING_SPACE.get(name)


def _of(
    owner: tuple[str, ...], room: registry.Registry[Any], part: Component
) -> Iterator[tuple[str, Value, Dimension | None]]:
    ranges = _ranges(room, part.name)
    for name, value in part.settings.items():
        if isinstance(value, bool | int | float | str):
            yield ".".join((*owner, part.name, name)), value, ranges.get(name)


def _ranges(room: registry.Registry[Any], name: str) -> Mapping[str, Dimension]:
    try:
        found: Mapping[str, Dimension] = room.load(name).space
    except AutoDLError:
        return {}
    return found


def _knob(path: str, values: Sequence[Value | None], dimension: Dimension | None) -> Knob:
    known = [value for value in values if _is_number(value)]
    if isinstance(dimension, Float | Integer):
        log = dimension.log
    else:
        log = bool(known) and min(known) > 0 and max(known) >= _WIDE * min(known)  # type: ignore[type-var, operator]
    return Knob(path, tuple(values), bool(log and known and min(known) > 0))  # type: ignore[type-var, operator]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
