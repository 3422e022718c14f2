"""Folder → names → classes; the only file that knows entry points.

An entry point in a group such as ``autodl.encoders`` names a *room* (a package in which every public file is one
component, called as the file) or one class (``package.module:Class``). Listing names imports nothing. The environment
variable ``AUTODL_PLUGINS`` limits what loads beside the engine's own rooms: a list of top-level packages separated by
commas; empty means none.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from autodl.errors import PluginError, unknown_name

if TYPE_CHECKING:
    from autodl.contracts import Encoder, Estimator, Explainer, Fusion, Loss, Modality, Optimizer

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One registered component: where its class is and who ships it."""

    name: str
    module: str
    attribute: str
    distribution: str
    file: Path | None


class Registry(Generic[T]):
    """One room's names and classes."""

    def __init__(self, room: str, contract: str) -> None:
        self.room = room
        self.contract = contract
        self._own: dict[str, type[T]] = {}

    def names(self) -> list[str]:
        """All registered names, sorted; nothing is imported."""
        return sorted({*self._entries, *self._own})

    def load(self, name: str) -> type[T]:
        """Return the class of that name.

        Raises:
            UnknownNameError: No component is called so.
            PluginError: The component cannot be imported, or breaks its contract.
        """
        if name in self._own:
            return self._own[name]
        return self._import(self._entry(name))

    def add(self, component: type[T]) -> type[T]:
        """Register a class of this process under the snake_case of its name, before all others."""
        self._own[snake_case(component.__name__)] = component
        return component

    def distribution(self, name: str) -> str:
        """The distribution that ships the component; ``this process`` for those added by hand."""
        return "this process" if name in self._own else self._entry(name).distribution

    def describe(self, name: str) -> str:
        """The first line of the component's docstring, read without importing it where it is a file."""
        entry = None if name in self._own else self._entry(name)
        if entry is None or entry.file is None:
            return (self.load(name).__doc__ or "").strip().split("\n")[0]
        try:
            tree = ast.parse(entry.file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            return f"cannot be read as Python: {error}"
        return (ast.get_docstring(tree) or "").split("\n")[0]

    def _entry(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown_name(self.room[:-1] if self.room != "losses" else "loss", name, self.names())
        return self._entries[name]

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in self._discover():
            if entry.name in found:
                raise PluginError(
                    f"names in {self.room} must be unique, however '{entry.name}' comes from both "
                    f"{found[entry.name].distribution} and {entry.distribution}; uninstall one or rename its file"
                )
            found[entry.name] = entry
        return found

    def _discover(self) -> Iterator[Entry]:
        for point in entry_points(group=f"autodl.{self.room}"):
            try:
                if _allowed(point):
                    yield from _read(point)
            except Exception as error:  # a stranger's broken package must not stop the rest
                who = point.dist.name if point.dist else point.value
                warnings.warn(f"{self.room} of {who} are left out: {error}", stacklevel=2)

    def _import(self, entry: Entry) -> type[T]:
        contract = getattr(importlib.import_module("autodl.contracts"), self.contract)
        try:
            component = getattr(importlib.import_module(entry.module), entry.attribute)
        except Exception as error:  # a stranger's file may fail in any way
            raise PluginError(
                f"{entry.module} of {entry.distribution} must define the class {entry.attribute}, however: {error}"
            ) from error
        if not (isinstance(component, type) and issubclass(component, contract)):
            raise PluginError(
                f"{entry.module}.{entry.attribute} must be a subclass of autodl.contracts.{self.contract}"
            )
        return cast("type[T]", component)


def snake_case(name: str) -> str:
    """``ResidualMlp`` → ``residual_mlp``, ``InputXGradient`` → ``input_x_gradient``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def camel_case(name: str) -> str:
    """``residual_mlp`` → ``ResidualMlp``."""
    return "".join(part.capitalize() for part in name.split("_"))


def _allowed(point: EntryPoint) -> bool:
    package = point.module.split(".")[0]
    limit = os.environ.get("AUTODL_PLUGINS")
    return package == "autodl" or limit is None or package in [name.strip() for name in limit.split(",")]


def _read(point: EntryPoint) -> Iterator[Entry]:
    distribution = point.dist.name if point.dist else ""
    if point.attr:
        yield Entry(snake_case(point.attr), point.module, point.attr, distribution, None)
        return
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.submodule_search_locations is None:
        raise PluginError(f"the room '{point.module}' must be an importable package")
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).glob("*.py")):
            if not file.name.startswith("_"):
                yield Entry(file.stem, f"{point.module}.{file.stem}", camel_case(file.stem), distribution, file)


modalities: Registry[Modality] = Registry("modalities", "Modality")
encoders: Registry[Encoder] = Registry("encoders", "Encoder")
losses: Registry[Loss] = Registry("losses", "Loss")
optimizers: Registry[Optimizer] = Registry("optimizers", "Optimizer")
estimators: Registry[Estimator] = Registry("estimators", "Estimator")
fusions: Registry[Fusion] = Registry("fusions", "Fusion")
explainers: Registry[Explainer] = Registry("explainers", "Explainer")
ROOMS: dict[str, Registry[Any]] = {
    room.room: room for room in (modalities, encoders, fusions, losses, optimizers, estimators, explainers)
}
