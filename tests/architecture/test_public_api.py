"""What ``import autodl`` offers: every name there, documented and typed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator

import autodl


def public() -> dict[str, object]:
    return {name: getattr(autodl, name) for name in autodl.__all__}


def signatures(name: str, thing: object) -> Iterator[tuple[str, inspect.Signature]]:
    """The signature of a function; of a class its constructor and its own public methods."""
    if inspect.isfunction(thing):
        yield name, inspect.signature(thing)
    elif inspect.isclass(thing):
        for attribute, member in vars(thing).items():
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if inspect.isfunction(function) and (attribute == "__init__" or not attribute.startswith("_")):
                yield f"{name}.{attribute}", inspect.signature(function)


def test_all_lists_what_is_there_in_order_and_dir_shows_it() -> None:
    assert list(autodl.__all__) == sorted(set(autodl.__all__))
    assert set(autodl.__all__) <= set(dir(autodl))
    assert {"search", "load", "Predictor", "encoder"} <= set(public())


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(autodl, "serach")


def test_every_public_name_is_documented() -> None:
    things = {name: thing for name, thing in public().items() if inspect.isfunction(thing) or inspect.isclass(thing)}
    assert [name for name, thing in things.items() if not inspect.getdoc(thing)] == []
    silent = [
        f"{name}.{attribute}"
        for name, thing in things.items()
        if inspect.isclass(thing) and thing.__module__.startswith("autodl")
        for attribute, member in vars(thing).items()
        if not attribute.startswith("_") and inspect.isfunction(member) and not inspect.getdoc(member)
    ]
    assert silent == []


def test_every_public_signature_is_typed() -> None:
    untyped = []
    for name, thing in public().items():
        for where, signature in signatures(name, thing):
            for parameter in list(signature.parameters.values()):
                if parameter.name not in ("self", "cls") and parameter.annotation is inspect.Parameter.empty:
                    untyped.append(f"{where}({parameter.name})")
            if signature.return_annotation is inspect.Signature.empty:
                untyped.append(f"{where} ->")
    assert untyped == []


def test_star_import_brings_exactly_all() -> None:
    code = "before = set(globals()) | {'before'}\nfrom autodl import *\nprint(*sorted(set(globals()) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(autodl.__all__)
