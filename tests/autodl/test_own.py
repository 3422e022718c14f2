from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import pytest
from torch import Tensor, nn

from autodl import own, registry
from autodl.contracts import Encoder
from autodl.errors import PluginError, UnknownNameError
from autodl.records import InputSpec
from autodl.space import Float, Integer, Space


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_registered", {})
    monkeypatch.setattr(registry.encoders, "_own", {})


class Plain(nn.Module):
    """A layer and a dropout."""

    space = Space(width=Integer(4, 8, default=6), dropout=Float(0.0, 0.5, default=0.25, per_member=True))
    accepts = "vector"

    def __init__(self, shape: tuple[int, ...], width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def test_decorator_returns_the_class_and_registers_it() -> None:
    @own.encoder(width=Integer(8, 64), rate=Float(0, 0.5))
    class MyNet(nn.Module):
        def __init__(self, shape: tuple[int, ...], width: int, rate: float) -> None:
            super().__init__()
            self.layer = nn.Linear(shape[0], width)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)  # type: ignore[no-any-return]

    assert issubclass(MyNet, nn.Module)
    assert not issubclass(MyNet, Encoder)
    assert "my_net" in registry.encoders.names()
    assert list(registry.encoders.load("my_net").space) == ["width", "rate"]


def test_decorator_without_brackets_reads_the_attributes() -> None:
    assert own.encoder(Plain) is Plain
    assert registry.encoders.load("plain").space == Plain.space
    assert registry.encoders.describe("plain") == "A layer and a dropout."


def test_constructor_must_take_the_knobs() -> None:
    class Narrow(nn.Module):
        space = Space(width=Integer(1, 2))

        def __init__(self, shape: tuple[int, ...]) -> None:
            super().__init__()

    with pytest.raises(PluginError, match=r"built as Narrow\(shape, width\), however.*'width'"):
        own.add(Narrow)


def test_only_module_classes_join() -> None:
    with pytest.raises(PluginError, match="pass the class"):
        own.add(nn.Linear(1, 1))  # type: ignore[type-var]


def test_a_name_is_not_taken_twice_but_may_be_defined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.encoders, "_own", {"taken": Encoder})
    with pytest.raises(PluginError, match="'taken' is taken; rename"):
        own.add(type("Taken", (Plain,), {}))
    own.add(Plain)
    again = type("Plain", (Plain,), {})
    own.add(again)
    assert registry.encoders.load("plain").module is again  # type: ignore[attr-defined]


def test_an_encoder_by_contract_joins_as_it_is() -> None:
    class Whole(Encoder):
        width = 1

        @classmethod
        def accepts(cls, spec: InputSpec) -> bool:
            return True

        def forward(self, x: Tensor) -> Tensor:
            return x.unsqueeze(1)

    own.add(Whole)
    assert registry.encoders.load("whole") is Whole


@pytest.fixture
def module_on_disk(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "my_own_nets.py").write_text(
        textwrap.dedent(
            """
            from torch import nn
            from autodl.own import encoder
            from autodl.space import Integer

            @encoder(width=Integer(2, 4))
            class Deep(nn.Module):
                def __init__(self, shape, width):
                    super().__init__()
                    self.layer = nn.Linear(shape[0], width)
                def forward(self, x):
                    return self.layer(x)

            class Bare(nn.Module):
                def __init__(self, shape):
                    super().__init__()
                    self.layer = nn.Linear(shape[0], 2)
                def forward(self, x):
                    return self.layer(x)
            """
        )
    )
    monkeypatch.syspath_prepend(str(folder))
    yield "my_own_nets"
    sys.modules.pop("my_own_nets", None)


@pytest.mark.parametrize("name", ["Deep", "Bare"])
def test_a_worker_registers_by_reference(module_on_disk: str, name: str) -> None:
    own.register(f"{module_on_disk}:{name}")
    assert name.lower() in registry.encoders.names()
    assert f"{module_on_disk}:{name}" in own.references()
    assert own.only_here() == []


def test_what_cannot_be_imported_elsewhere_is_only_here(module_on_disk: str) -> None:
    @own.encoder
    class Local(nn.Module):
        def __init__(self, shape: tuple[int, ...]) -> None:
            super().__init__()

    script = type("Script", (Plain,), {"__module__": "__main__", "__qualname__": "Script"})
    gone = type("Gone", (Plain,), {"__module__": "no_such.module", "__qualname__": "Gone"})
    other = type("Bare", (Plain,), {"__module__": module_on_disk, "__qualname__": "Deep"})
    for module in (script, gone, other):
        own.add(module)
    own.register(f"{module_on_disk}:Deep")
    assert own.only_here() == ["bare", "gone", "local", "script"]
    assert own.references() == [f"{module_on_disk}:Deep"]
    assert own.facts(["deep", "local", "mlp"]) == [f"{module_on_disk}:Deep", "local"]


def test_restore_imports_again_what_a_predictor_remembers(module_on_disk: str) -> None:
    own.restore([f"{module_on_disk}:Deep"], trusted=True)
    assert registry.encoders.load("deep").space["width"] == Integer(2, 4)


@pytest.mark.parametrize("fact", ["local", "no_such_module_here:Deep", "math:Deep", "math:pi"])
def test_restore_tells_to_register_first(fact: str) -> None:
    with pytest.raises(UnknownNameError, match="register the class first"):
        own.restore([fact], trusted=True)


def test_a_predictor_of_a_stranger_imports_nothing(module_on_disk: str) -> None:
    with pytest.raises(UnknownNameError, match=f"import {module_on_disk} first, if you trust it"):
        own.restore([f"{module_on_disk}:Deep"])
    assert module_on_disk not in sys.modules


def test_restore_is_content_with_what_is_registered() -> None:
    own.add(Plain)
    own.restore(["plain", "elsewhere:Plain"])
    assert registry.encoders.names().count("plain") == 1


@pytest.mark.parametrize("reference", ["no_such_module_here:Deep", "math:Deep"])
def test_a_worker_that_cannot_import_says_so(reference: str) -> None:
    with pytest.raises(PluginError, match=r"must be importable.*PYTHONPATH"):
        own.register(reference)


def test_modules_are_imported_by_name(module_on_disk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    own.import_modules([module_on_disk])
    assert module_on_disk in sys.modules


@pytest.mark.parametrize("name", ["no_such_module_here", "math.nothing"])
def test_a_module_that_cannot_be_imported_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(PluginError, match=f"--import must name .* however '{name}' failed: ModuleNotFoundError"):
        own.import_modules([name])
