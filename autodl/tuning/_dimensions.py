"""What can be done with one range: ask, draw, check, clip, say it in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from autodl.space import Choice, Dimension, Integer, Value

if TYPE_CHECKING:
    import numpy as np
    import optuna

NEAR = 0.1  # share of a range that a neighbour lies off, in the mean of squares
ANOTHER = 0.2  # how often a neighbour has another option


def only_value(dimension: Dimension) -> Value | None:
    """Return the value of a range that has one only, else None."""
    if isinstance(dimension, Choice):
        return dimension.options[0] if len(dimension.options) == 1 else None
    return dimension.low if dimension.low == dimension.high else None


def admit(dimension: Dimension, value: Any) -> Value | None:
    """Return a value that lies in the range, in the range's own type (1 → 1.0), else None."""
    if isinstance(dimension, Choice):
        same = [option for option in dimension.options if type(option) is type(value) and option == value]
        equal = [option for option in dimension.options if _is_number(option) and _is_number(value) and option == value]
        return next(iter(same + equal), None)
    if not _is_number(value) or not dimension.low <= value <= dimension.high:
        return None
    if isinstance(dimension, Integer):
        return value if isinstance(value, int) else None
    return float(value)


def nearest_value(dimension: Dimension, value: Any) -> Value:
    """Return the value of the range that lies nearest; the default for what has no nearness, such as a name."""
    if isinstance(dimension, Choice):
        admitted = admit(dimension, value)
        if admitted is not None:
            return admitted
        numbers = [option for option in dimension.options if _is_number(option)]
        if numbers and _is_number(value):
            return min(numbers, key=lambda option: abs(option - value))
        default = admit(dimension, dimension.center())
        return dimension.options[0] if default is None else default
    number = value if _is_number(value) else dimension.center()
    clipped = min(max(number, dimension.low), dimension.high)
    return round(clipped) if isinstance(dimension, Integer) else float(clipped)


def default_value(dimension: Dimension) -> Value:
    """Return the default, or what the range holds nearest to it."""
    return nearest_value(dimension, dimension.center())


def range_in_words(dimension: Dimension) -> str:
    """Say what the range holds, for a message: ``a number from 0.1 to 10.0``."""
    if isinstance(dimension, Choice):
        return f"one of {', '.join(map(str, dimension.options))}"
    kind = "whole number" if isinstance(dimension, Integer) else "number"
    return f"a {kind} from {dimension.low} to {dimension.high}"


def distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """Return Optuna's form of the range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(choices=dimension.options)
    kind = IntDistribution if isinstance(dimension, Integer) else FloatDistribution
    return kind(low=dimension.low, high=dimension.high, log=dimension.log)


def suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Value:
    """Ask a trial for a value of the range."""
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name=name, choices=dimension.options)  # type: ignore[no-any-return]
    ask = trial.suggest_int if isinstance(dimension, Integer) else trial.suggest_float
    return ask(name=name, low=dimension.low, high=dimension.high, log=dimension.log)  # type: ignore[no-any-return]


def draw(dimension: Dimension, generator: np.random.Generator) -> Value:
    """Draw a value, each option or each part of the (logarithmic) range as likely as another."""
    if isinstance(dimension, Choice):
        return dimension.options[int(generator.integers(len(dimension.options)))]
    if isinstance(dimension, Integer) and not dimension.log:
        return int(generator.integers(dimension.low, dimension.high, endpoint=True))
    half = 0.5 if isinstance(dimension, Integer) else 0.0  # so that the end points are as likely as the others
    low, high = dimension.low - half, dimension.high + half
    number = (
        math.exp(generator.uniform(math.log(low), math.log(high))) if dimension.log else generator.uniform(low, high)
    )
    return nearest_value(dimension, float(number))


def near(dimension: Dimension, value: Value, generator: np.random.Generator, step: float = NEAR) -> Value:
    """Draw a value near another: a number some steps off, now and then another option.

    Args:
        dimension: The range.
        value: Where it is drawn near.
        generator: Of the chance.
        step: Standard deviation, as a share of the (logarithmic) range.
    """
    if isinstance(dimension, Choice):
        return draw(dimension, generator) if generator.random() < ANOTHER else value
    assert not isinstance(value, str), "internal error: a word in a range"
    off = step * generator.standard_normal()
    if not dimension.log:
        return nearest_value(dimension, value + off * (dimension.high - dimension.low))
    return nearest_value(dimension, math.exp(math.log(value) + off * math.log(dimension.high / dimension.low)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
