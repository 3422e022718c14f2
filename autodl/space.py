"""Hyperparameters as data: a space is a mapping from names to ranges, with no sampler in sight.

Because a space is data it can be printed as TOML, edited, documented, and asked which of its knobs may differ between
the members of a pack (``per_member=True``) and which change a tensor's shape and must be shared (all the others).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from autodl.errors import SpaceError

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True)
class Knob:
    """What every hyperparameter has, whatever its range.

    Attributes:
        per_member: Whether members of one pack may differ in it. A structural knob (False) is shared by a pack.
        doc: One line for the user: what it does, in which unit.
        when: The knob counts only where other knobs of the same space have one of these values.
        default: The value of a sensible configuration; portfolio entries that do not name the knob use it.
    """

    per_member: bool = field(default=False, kw_only=True)
    doc: str = field(default="", kw_only=True)
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict, kw_only=True)
    default: Value | None = field(default=None, kw_only=True)

    def active(self, settings: Mapping[str, Any]) -> bool:
        """Whether the knob counts beside these settings of its own space."""
        return all(settings.get(name) in values for name, values in self.when.items())


@dataclass(frozen=True)
class Float(Knob):
    """A number in [low, high]; ``limits`` are the widest bounds a user may ask for."""

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    limits: tuple[float, float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def center(self) -> float:
        """The default, else the middle of the range (geometric where log)."""
        if self.default is not None:
            return float(self.default)
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    def allows(self, value: Any) -> bool:
        """Whether the component works with this value."""
        low, high = self.limits or (self.low, self.high)
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True)
class Integer(Knob):
    """A whole number in [low, high]; ``limits`` are the widest bounds a user may ask for."""

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    limits: tuple[int, int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def center(self) -> int:
        """The default, else the middle of the range (geometric where log)."""
        if self.default is not None:
            return int(self.default)
        return round(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)

    def allows(self, value: Any) -> bool:
        """Whether the component works with this value."""
        low, high = self.limits or (self.low, self.high)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True, init=False)
class Choice(Knob):
    """One of several values; for numbers ``limits`` opens every value between two bounds to the user."""

    options: tuple[Value, ...]
    limits: tuple[float, float] | None

    def __init__(
        self,
        *options: Value,
        per_member: bool = False,
        doc: str = "",
        when: Mapping[str, tuple[Value, ...]] | None = None,
        default: Value | None = None,
        limits: tuple[float, float] | None = None,
    ) -> None:
        if not options:
            raise SpaceError("a Choice must have at least one option, however none came; name the options")
        super().__init__(per_member=per_member, doc=doc, when=when or {}, default=default)
        object.__setattr__(self, "options", tuple(options))
        object.__setattr__(self, "limits", limits)

    def center(self) -> Value:
        """The default, else the first option."""
        return self.options[0] if self.default is None else self.default

    def allows(self, value: Any) -> bool:
        """Whether the component works with this value."""
        if any(value == option and type(value) is type(option) for option in self.options):
            return True
        if self.limits is None or isinstance(value, bool) or not isinstance(value, int | float):
            return False
        whole = all(isinstance(option, int) for option in self.options if not isinstance(option, str))
        return self.limits[0] <= value <= self.limits[1] and (isinstance(value, int) or not whole)


Dimension: TypeAlias = Float | Integer | Choice


class Space(Mapping[str, Dimension]):
    """The hyperparameters of one component, by name.

    Example:
        >>> space = Space(depth=Integer(1, 6), width=Choice(64, 128), dropout=Float(0.0, 0.5, per_member=True))
        >>> space.defaults()
        {'depth': 4, 'width': 64, 'dropout': 0.25}
        >>> sorted(space.structural())
        ['depth', 'width']
    """

    def __init__(self, **dimensions: Dimension) -> None:
        self._dimensions = dict(dimensions)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={dimension!r}' for name, dimension in self.items())})"

    def defaults(self) -> dict[str, Value]:
        """The settings of a sensible configuration: every knob that counts, at its default."""
        settings: dict[str, Value] = {}
        for name, dimension in self.items():
            if dimension.active(settings):
                settings[name] = dimension.center()
        return settings

    def structural(self) -> frozenset[str]:
        """The knobs that all members of a pack share."""
        return frozenset(name for name, dimension in self.items() if not dimension.per_member)

    def with_changes(self, **dimensions: Dimension) -> Space:
        """Return a copy with some knobs replaced or added."""
        return Space(**{**self._dimensions, **dimensions})

    def without(self, *names: str) -> Space:
        """Return a copy without some knobs."""
        return Space(**{name: dimension for name, dimension in self.items() if name not in names})


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not low <= high:
        raise SpaceError(f"low <= high must hold, however low={low} and high={high} came; swap them")
    if log and low <= 0:
        raise SpaceError(f"low > 0 must hold on a log scale, however low={low} came; raise it or drop log")
