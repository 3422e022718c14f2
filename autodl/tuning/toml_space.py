"""A search space as a TOML text that a user reads, edits and hands back.

    depth = { low = 1, high = 6 }                             a range
    learning_rate = { low = 1e-4, high = 1e-2, log = true }   a range, searched evenly on a logarithmic scale
    width = [64, 128]                                         options
    activation = "relu"                                       one value: it is not searched

Law: for every space ``s``, ``from_toml(to_toml(s, title), s) == s``.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NoReturn

from autodl.errors import SpaceError, nearest
from autodl.space import Choice, Dimension, Float, Integer, Value
from autodl.tuning._assembly import Conditions, SearchKnob
from autodl.tuning._dimensions import admit, default_value, nearest_value, only_value
from autodl.tuning.search_space import SearchSpace

_HOW_TO_READ = (
    "{ low, high }   a range; with log = true it is searched evenly on a logarithmic scale",
    "[a, b, c]       options; take out what is not wanted",
    "a               one value: it is not searched",
    "What is left out of this file keeps its range. Trials that train together as one network share what is structural",
    "and differ in what is per member.",
)


def to_toml(space: SearchSpace, title: str) -> str:
    """Return the space as TOML; ``from_toml`` takes it back, edited or not."""
    tables: dict[tuple[str, ...], list[SearchKnob]] = {}
    for knob in space.knobs.values():
        tables.setdefault(knob.keys[:-1], []).append(knob)
    head = [_comment(title), "#", *map(_comment, _HOW_TO_READ)]
    parts = ["\n".join(head)] + ["\n".join(_table(keys, knobs, space)) for keys, knobs in tables.items()]
    return "\n\n".join(parts) + "\n"


def from_toml(text: str, space: SearchSpace) -> SearchSpace:
    """Return the space with the ranges that a TOML text asks for.

    Raises:
        SpaceError: It is not TOML, or a name, a type, an option or a range is not possible.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # the latter for thousands of nested brackets
        raise SpaceError(f"a search space must be valid TOML, however: {error}; correct it there") from error
    known = {knob.keys: knob for knob in space.knobs.values()}
    edits = [(known[keys], entry) for keys, entry in _entries(data, frozenset(known))]
    return space.with_dimensions({knob.path: _edited(knob, entry) for knob, entry in edits})


def _table(keys: tuple[str, ...], knobs: Sequence[SearchKnob], space: SearchSpace) -> Iterator[str]:
    """The lines of one table; a condition that all its knobs share is said once, at its head."""
    shared = tuple(condition for condition in knobs[0].when if all(condition in knob.when for knob in knobs))
    yield f"[{_dotted(keys)}]" + (f"  # counts where {_conditions(shared, space)}" if shared else "")
    for knob in knobs:
        own = tuple(condition for condition in knob.when if condition not in shared)
        about = [knob.dimension.doc, f"counts where {_conditions(own, space, keys)}" if own else ""]
        if any(about):
            yield _comment("; ".join(filter(None, about)))
        facts = "; ".join(_facts(knob))
        yield f"{_key(knob.keys[-1])} = {_range(knob)}" + (f"  {_comment(facts)}" if facts else "")


def _facts(knob: SearchKnob) -> Iterator[str]:
    """What the comment beside a range says."""
    if not knob.of_estimator:  # estimators are not trained in packs
        yield "per member" if knob.dimension.per_member else "structural"
    if only_value(knob.dimension) is None:
        yield f"default {_value(default_value(knob.dimension))}"
    if knob.widest != knob.dimension or knob.widest.limits:
        yield f"possible: {_possible(knob)}"


def _conditions(conditions: Conditions, space: SearchSpace, table: tuple[str, ...] = ()) -> str:
    """Say conditions in words; a knob of the table that they stand in goes by its short name."""
    return " and ".join(_condition(space.knobs[path], values, table) for path, values in conditions)


def _condition(knob: SearchKnob, values: Sequence[Value], table: tuple[str, ...]) -> str:
    *others, last = map(_value, values)
    either = f"{', '.join(others)} or {last}" if others else last
    return f"{_key(knob.keys[-1]) if knob.keys[:-1] == table else _dotted(knob.keys)} is {either}"


def _possible(knob: SearchKnob) -> str:
    """What may be asked for, in words."""
    widest = knob.widest
    low, high = widest.limits or (0, 0)
    if not isinstance(widest, Choice):
        low, high = widest.limits or (widest.low, widest.high)
        return f"{_value(low)} to {_value(high)}"
    names = [option for option in widest.options if not (widest.limits and _is_number(option))]
    kind = "whole number" if all(isinstance(option, int | str) for option in widest.options) else "number"
    span = [f"any {kind} from {_value(low)} to {_value(high)}"] if widest.limits else []
    return ", ".join([*map(_value, names), *span])


def _range(knob: SearchKnob) -> str:
    """The range as a TOML value."""
    dimension = knob.dimension
    only = only_value(dimension)
    if only is not None:
        return _value(float(only) if isinstance(dimension, Float) else only)
    if isinstance(dimension, Choice):
        return f"[{', '.join(map(_value, dimension.options))}]"
    low, high = (float(bound) if isinstance(dimension, Float) else bound for bound in (dimension.low, dimension.high))
    declared = not isinstance(knob.widest, Choice) and knob.widest.log
    scale = f", log = {_value(dimension.log)}" if dimension.log or declared else ""
    return f"{{ low = {_value(low)}, high = {_value(high)}{scale} }}"


def _value(value: Value) -> str:
    """One value as TOML: exact, and as short as it can be read."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    text = repr(value)
    if isinstance(value, float) and math.isfinite(value) and value and not 1e-2 <= abs(value) < 1e5:
        sign, digits, exponent = Decimal(text).normalize().as_tuple()
        mantissa = "".join(map(str, digits))
        point = f".{mantissa[1:]}" if mantissa[1:] else ""
        short = f"{'-' * sign}{mantissa[0]}{point}e{int(exponent) + len(mantissa) - 1}"
        return min(text, short, key=len)
    return text


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _dotted(keys: Sequence[str]) -> str:
    return ".".join(map(_key, keys))


def _comment(text: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"# {line}".rstrip()


def _entries(
    data: Mapping[str, Any], known: frozenset[tuple[str, ...]], table: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a file says of each knob, by the knob's keys."""
    depth = len(table)
    names = {keys[depth] for keys in known if keys[:depth] == table and len(keys) > depth}
    for name, entry in data.items():
        keys = (*table, name)
        if name not in names:
            hint = nearest(name, names)
            raise SpaceError(f"every name in a search space must exist, however '{_dotted(keys)}' does not; {hint}")
        if keys in known:
            yield keys, entry
        elif isinstance(entry, dict):
            yield from _entries(entry, known, keys)
        else:
            raise SpaceError(
                f"'{_dotted(keys)}' must be a table, however {entry!r} came; write [{_dotted(keys)}] above it"
            )


def _edited(knob: SearchKnob, entry: Any) -> Dimension:
    """Return a knob's range as a file asks for it."""
    if isinstance(knob.dimension, Choice):
        return _edited_choice(knob, knob.dimension, entry)
    return _edited_range(knob, knob.dimension, entry)


def _edited_choice(knob: SearchKnob, choice: Choice, entry: Any) -> Choice:
    if isinstance(entry, dict) or entry == []:
        _refuse(knob, f"a list of one or several of {_possible(knob)}", entry)
    options: list[Value] = []
    for value in entry if isinstance(entry, list) else [entry]:
        option = _option(knob, choice, value)
        if not any(option == other and type(option) is type(other) for other in options):
            options.append(option)
    changed = Choice(*options)
    default = None if choice.default is None else nearest_value(changed, choice.default)
    return Choice(
        *options,
        per_member=choice.per_member,
        doc=choice.doc,
        when=choice.when,
        default=default,
        limits=choice.limits,
    )


def _option(knob: SearchKnob, choice: Choice, value: Any) -> Value:
    for known in (choice, knob.widest):
        option = admit(known, value)
        if option is not None:
            return option
    if not knob.widest.allows(value):
        names = [option for known in (choice, knob.widest) for option in _names(known)]
        hint = f" ({nearest(value, names)})" if names and isinstance(value, str) else ""
        _refuse(knob, _possible(knob) + hint, value)
    numbers = [option for option in choice.options if _is_number(option)]
    return float(value) if numbers and all(isinstance(option, float) for option in numbers) else value


def _edited_range(knob: SearchKnob, dimension: Float | Integer, entry: Any) -> Dimension:
    asked = entry if isinstance(entry, dict) else {"low": entry, "high": entry}
    for name in asked:
        if name not in ("low", "high", "log"):
            hint = nearest(name, ("low", "high", "log"))
            raise SpaceError(f"'{_dotted(knob.keys)}' must be {{ low, high, log }}, however '{name}' came; {hint}")
    low, high = asked.get("low", dimension.low), asked.get("high", dimension.high)
    log = asked.get("log", dimension.log)
    if not (knob.widest.allows(low) and knob.widest.allows(high)):
        _refuse(knob, f"a {_kind(dimension)} or a range {{ low, high }} within {_possible(knob)}", entry)
    if not low <= high:
        _refuse(knob, "a range with low <= high", entry)
    if not isinstance(log, bool) or (log and low <= 0 and low != high):
        _refuse(knob, "a range with log = false, or with log = true and low > 0", entry)
    if isinstance(dimension, Float):
        low, high = float(low), float(high)
    changed = replace(dimension, low=low, high=high, log=log and low > 0, default=None)
    return changed if dimension.default is None else replace(changed, default=nearest_value(changed, dimension.default))


def _refuse(knob: SearchKnob, allowed: str, entry: Any) -> NoReturn:
    raise SpaceError(f"'{_dotted(knob.keys)}' must be {allowed}, however {_shown(entry)} came; change it")


def _shown(entry: Any) -> str:
    text = json.dumps(entry, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _names(dimension: Dimension) -> list[str]:
    options = dimension.options if isinstance(dimension, Choice) else ()
    return [option for option in options if isinstance(option, str)]


def _kind(dimension: Dimension) -> str:
    return "whole number" if isinstance(dimension, Integer) else "number"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
