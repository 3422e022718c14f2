"""Own modules: a user's ``nn.Module`` class joins the search by one decorator or one argument.

    @autodl.encoder(width=autodl.Integer(8, 64), dropout=autodl.Float(0, 0.5))
    class Mine(nn.Module):
        def __init__(self, shape: tuple[int, ...], width: int, dropout: float): ...
        def forward(self, x): ...              # batch *shape → batch features, or batch tokens features

or ``autodl.search(..., encoders=[Mine])``, where the class may carry the same as attributes: ``space``, a mapping from
names to ranges, and ``accepts``: ``vector`` (tables), ``image`` or ``any``. A class of an importable module is imported
again in worker processes, and when a predictor is loaded, by its reference ``module:Class``; one of a script or a
notebook cannot be, so that its search trains in this process.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, overload

from torch import nn

from autodl import registry
from autodl._own_encoder import SHAPES, OwnEncoder
from autodl.contracts import Encoder
from autodl.errors import PluginError, UnknownNameError
from autodl.space import Choice, Dimension, Float, Integer, Space

Shapes: TypeAlias = Literal["vector", "image", "any"]
M = TypeVar("M", bound=type[nn.Module])

_registered: dict[str, type[nn.Module]] = {}


@overload
def encoder(module: M, /) -> M: ...
@overload
def encoder(module: None = None, /, *, accepts: Shapes = "any", **space: Dimension) -> Callable[[M], M]: ...
def encoder(module: M | None = None, /, *, accepts: Shapes = "any", **space: Dimension) -> M | Callable[[M], M]:
    """Let a class join every search of this process, with the ranges of its settings.

    Args:
        module: The class, where the decorator stands without brackets; then ``space`` and ``accepts`` are read from it.
        accepts: Which inputs it takes: ``vector``, ``image`` or ``any``.
        space: The range of each setting that its constructor takes beside ``shape``.

    Raises:
        PluginError: The class cannot be an encoder.
    """
    if module is not None:
        return add(module)

    def decorate(decorated: M) -> M:
        if accepts != "any" or not hasattr(decorated, "accepts"):
            decorated.accepts = accepts  # type: ignore[attr-defined]
        if space or not hasattr(decorated, "space"):
            decorated.space = Space(**space)  # type: ignore[attr-defined]
        return add(decorated)

    return decorate


def add(module: M) -> M:
    """Register a class of this process as an encoder under the snake_case of its name, and return it.

    Raises:
        PluginError: The class cannot be an encoder, or its name is taken.
    """
    if not (isinstance(module, type) and issubclass(module, nn.Module)):
        raise PluginError(
            f"an own encoder must be a subclass of torch.nn.Module, however {module!r} came; pass the class"
        )
    name = registry.snake_case(module.__name__)
    if name not in _registered and name in registry.encoders.names():
        raise PluginError(f"an own encoder must have a name of its own, however '{name}' is taken; rename the class")
    registry.encoders.add(module if issubclass(module, Encoder) else _wrapped(module))
    _registered[name] = module
    return module


def register(reference: str) -> None:
    """Import the class that ``module:Class`` names and register it: what a worker does first.

    Raises:
        PluginError: It cannot be imported here.
    """
    module, _, qualname = reference.partition(":")
    try:
        found: Any = operator.attrgetter(qualname)(importlib.import_module(module))
    except Exception as error:  # whatever a stranger's module raises while it is imported
        raise PluginError(
            f"the own encoder {reference} must be importable, however: {type(error).__name__}: {error}; "
            "put its folder on PYTHONPATH, or install it"
        ) from error
    if found not in _registered.values():
        add(found)


def reference(module: type) -> str | None:
    """Return ``module:Class``, by which another process can import the class; None where it cannot."""
    if module.__module__ == "__main__":
        return None
    try:
        importable = importlib.util.find_spec(module.__module__) is not None
        found = operator.attrgetter(module.__qualname__)(sys.modules[module.__module__])
    except (ImportError, ValueError, AttributeError, KeyError):
        return None
    return f"{module.__module__}:{module.__qualname__}" if importable and found is module else None


def references() -> list[str]:
    """References of the own encoders that another process can import."""
    return sorted(found for module in _registered.values() if (found := reference(module)))


def only_here() -> list[str]:
    """Names of the own encoders that no other process can import."""
    return sorted(name for name, module in _registered.items() if reference(module) is None)


def facts(names: Iterable[str]) -> list[str]:
    """What a predictor that uses these encoders must remember: of each own one its reference, else its name."""
    return [reference(_registered[name]) or name for name in sorted(set(names) & set(_registered))]


def restore(remembered: Iterable[str], *, trusted: bool = False) -> None:
    """Register again what ``facts`` returned, before a predictor is loaded or a search resumed.

    Args:
        remembered: What ``facts`` returned.
        trusted: Whether modules may be imported for it. A predictor may come from a stranger, and importing runs code:
            there only what this process has imported itself is used.

    Raises:
        UnknownNameError: A class cannot be had and is not registered.
    """
    for fact in remembered:
        name = registry.snake_case(fact.rpartition(":")[2].rpartition(".")[2])
        if name in _registered:
            continue
        hint = "register the class first: run its definition with @autodl.encoder"
        if ":" not in fact:
            raise UnknownNameError(f"the predictor's own encoder '{name}' must be known, however it is not; {hint}")
        if not trusted and fact.partition(":")[0] not in sys.modules:
            raise UnknownNameError(
                f"the own encoder '{name}' must be imported before it is loaded, however it is not; "
                f"import {fact.partition(':')[0]} first, if you trust it"
            )
        try:
            register(fact)
        except PluginError as error:
            raise UnknownNameError(f"{error}, or {hint}") from error


def import_modules(names: Iterable[str]) -> None:
    """Import the user's modules by name, also from the working folder, for the encoders that they register.

    Raises:
        PluginError: There is no such module, or it breaks.
    """
    sys.path.insert(0, str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # the user's code may fail in any way
            reason = f"{type(error).__name__}: {error}".split("\n")[0]
            raise PluginError(
                f"--import must name a module that can be imported, however '{name}' failed: {reason}"
            ) from error


def _wrapped(module: type[nn.Module]) -> type[Encoder]:
    """Return the encoder class that builds and runs the user's class."""
    space = _space_of(module)
    shapes = getattr(module, "accepts", "any")
    if shapes not in SHAPES:
        raise PluginError(
            f"'accepts' of {module.__name__} must be one of {', '.join(SHAPES)}, however {shapes!r} came; change it"
        )
    _check_constructor(module, space)
    return type(
        module.__name__,
        (OwnEncoder,),
        {
            "__doc__": module.__doc__ or f"Own module {module.__module__}.{module.__qualname__}.",
            "__module__": module.__module__,
            "module": module,
            "shapes": shapes,
            "space": space,
        },
    )


def _space_of(module: type[nn.Module]) -> Space:
    space = getattr(module, "space", {})
    if not isinstance(space, Mapping):
        raise PluginError(
            f"'space' of {module.__name__} must map names to ranges, however {space!r} came; use autodl.Space"
        )
    for name, dimension in space.items():
        if not isinstance(dimension, Float | Integer | Choice):
            raise PluginError(
                f"the range '{name}' of {module.__name__} must be an autodl.Float, Integer or Choice, however "
                f"{dimension!r} came; for one value write autodl.Choice({dimension!r})"
            )
    return space if isinstance(space, Space) else Space(**space)


def _check_constructor(module: type[nn.Module], space: Space) -> None:
    """The constructor must take the shape first and every knob by name."""
    try:
        inspect.signature(module).bind((1,), **space.defaults())
    except TypeError as error:
        taken = ", ".join(["shape", *space])
        raise PluginError(
            f"{module.__name__} must be built as {module.__name__}({taken}), however: {error}; "
            "change its constructor or its space"
        ) from None
