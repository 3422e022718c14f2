"""Settings of encoders: filling in defaults, narrowing choices to an input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from autodl.errors import SpaceError, unknown_name
from autodl.records import InputSpec
from autodl.space import Choice, Float, Space, Value

MOST_WEIGHTS = 10_000_000


def dropout_knob(doc: str, default: float) -> Float:
    """Return the range of a dropout rate; ``doc`` says what is dropped."""
    return Float(0.0, 0.5, per_member=True, doc=doc, default=default, limits=(0.0, 0.95))


def complete(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every knob that counts: the given one, else its default.

    Raises:
        UnknownNameError: A setting that the space does not have.
        SpaceError: A value that the component does not work with.
    """
    for name in settings:
        if name not in space:
            raise unknown_name("setting", name, space)
    chosen: dict[str, Any] = {}
    for name, dimension in space.items():
        if not dimension.active(chosen):
            continue
        chosen[name] = settings.get(name, dimension.center())
        if not dimension.allows(chosen[name]):
            raise SpaceError(f"{name} must lie in {dimension!r}, however {chosen[name]!r} came; choose a value of it")
    return chosen


def keep_options(choice: Choice, fits: Callable[[Any], bool]) -> Choice:
    """Return the choice with the options that fit, at least the first; a number's default moves to the nearest."""
    kept: tuple[Value, ...] = tuple(option for option in choice.options if fits(option)) or choice.options[:1]
    default = choice.center()
    if default not in kept:
        default = min(kept, key=lambda option: abs(float(option) - float(default)))
    return Choice(
        *kept, per_member=choice.per_member, doc=choice.doc, when=choice.when, default=default, limits=choice.limits
    )


def narrow_width(space: Space, spec: InputSpec) -> Space:
    """Return the space without first layers of more than ``MOST_WEIGHTS`` weights on the bare input."""
    width = space["width"]
    assert isinstance(width, Choice)
    inputs = math.prod(spec.shape)
    return space.with_changes(width=keep_options(width, lambda size: inputs * size <= MOST_WEIGHTS))


def is_vector(spec: InputSpec) -> bool:
    """Whether a row is a vector of at least one feature."""
    return len(spec.shape) == 1 and spec.shape[0] >= 1


def is_image(spec: InputSpec, side: int = 1) -> bool:
    """Whether a row is ``channels height width``, with both sides of at least so many pixels."""
    return len(spec.shape) == 3 and spec.shape[0] >= 1 and min(spec.shape[1:]) >= side
