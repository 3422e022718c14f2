from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.contracts import Encoder
from autodl.errors import PluginError, UnknownNameError
from autodl.registry import ROOMS, Registry, camel_case, encoders, losses, snake_case

GOOD = '''
"""{about}

More of it.
"""
from autodl.contracts import Encoder

class {name}(Encoder):
    """{about} Said of the class."""
'''
WORDS = st.from_regex(r"[a-z][a-z0-9]{1,6}", fullmatch=True)
Ship = Callable[..., str]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ship]:
    """Install distributions in a folder on the path, each a package of given files with one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    packages = []

    def install(distribution: str, point: str = "", /, **files: str) -> str:
        package = f"package_of_{distribution.replace('-', '_')}"
        packages.append(package)
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / package / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        info = tmp_path / f"{distribution}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        value = point.format(package=package) or package
        (info / "entry_points.txt").write_text(f"[autodl.widgets]\nmine = {value}\n")
        importlib.invalidate_caches()
        return package

    yield install
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture
def widgets() -> Registry[Any]:
    """A room that nobody but the tests fills, with the contract of encoders."""
    return Registry("widgets", "Encoder")


def good(name: str, about: str = "A good one.") -> str:
    return GOOD.format(name=name, about=about)


class TestNamesOfClasses:
    @given(st.lists(WORDS, min_size=1, max_size=4).map("_".join))
    def test_a_file_name_comes_back_from_its_class(self, name: str) -> None:
        """Where every word has at least two letters or digits and begins with a letter."""
        assert snake_case(camel_case(name)) == name

    @given(st.lists(WORDS, min_size=1, max_size=4))
    def test_a_class_name_comes_back_from_its_file(self, words: list[str]) -> None:
        name = "".join(word.capitalize() for word in words)
        assert camel_case(snake_case(name)) == name

    @pytest.mark.parametrize(
        ("name", "file"), [("ResidualMlp", "residual_mlp"), ("Cnn", "cnn"), ("TabM2", "tab_m2"), ("Adamw", "adamw")]
    )
    def test_by_hand(self, name: str, file: str) -> None:
        assert (snake_case(name), camel_case(file)) == (file, name)


class TestNames:
    def test_every_public_file_of_a_room_is_a_name(self, ship: Ship, widgets: Registry[Any], tmp_path: Path) -> None:
        package = ship("kind", wide_one="", _private="", deep="")
        (tmp_path / package / "notes.txt").touch()
        assert widgets.names() == ["deep", "wide_one"]

    def test_listing_and_describing_import_nothing(self, ship: Ship, widgets: Registry[Any]) -> None:
        package = ship("kind", __init__="raise ValueError", wide_one='"""One line.\n\nMore."""\nraise ValueError')
        assert widgets.names() == ["wide_one"]
        assert widgets.describe("wide_one") == "One line."
        assert not [name for name in sys.modules if name.startswith(package)]

    def test_an_entry_point_may_name_one_class(self, ship: Ship, widgets: Registry[Any]) -> None:
        package = ship("kind", "{package}.inside:WideOne", inside=good("WideOne"), other="")
        assert widgets.names() == ["wide_one"]
        assert widgets.load("wide_one").__module__ == f"{package}.inside"
        assert widgets.describe("wide_one") == "A good one. Said of the class."

    def test_names_of_several_distributions_stand_together(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("kind", wide="")
        ship("other-kind", deep="")
        assert widgets.names() == ["deep", "wide"]
        assert {name: widgets.distribution(name) for name in widgets.names()} == {"wide": "kind", "deep": "other-kind"}

    def test_two_of_a_name_stop_everything_and_both_shippers_are_named(
        self, ship: Ship, widgets: Registry[Any]
    ) -> None:
        ship("kind", wide="")
        ship("unkind", wide="")
        with pytest.raises(
            PluginError, match=r"^names in widgets must be unique, however 'wide' comes from both"
        ) as told:
            widgets.names()
        assert all(f" {shipper}" in str(told.value) for shipper in ("kind", "unkind"))

    def test_every_room_is_known_under_its_name(self) -> None:
        assert {name: room.room for name, room in ROOMS.items()} == {name: name for name in ROOMS}
        assert sorted(ROOMS) == [
            "encoders",
            "estimators",
            "explainers",
            "fusions",
            "losses",
            "modalities",
            "optimizers",
        ]

    def test_what_is_described_is_the_first_line(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("kind", wide=good("Wide", "Wide layers."), silent="x = 1")
        assert [widgets.describe(name) for name in widgets.names()] == ["", "Wide layers."]


class TestLoad:
    def test_the_class_called_as_the_file_is_returned(self, ship: Ship, widgets: Registry[Any]) -> None:
        package = ship("kind", wide_one=good("WideOne") + "\nclass Other:\n    pass\n")
        component = widgets.load("wide_one")
        assert issubclass(component, Encoder)
        assert (component.__name__, component.__module__) == ("WideOne", f"{package}.wide_one")
        assert widgets.load("wide_one") is component

    def test_an_unknown_name_is_told_with_the_nearest(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("kind", wide="", deep="")
        with pytest.raises(
            UnknownNameError, match=r"^no widget is called 'wid'; did you mean 'wide'\? known: deep, wide$"
        ):
            widgets.load("wid")

    def test_the_singular_of_a_room_is_right(self) -> None:
        with pytest.raises(UnknownNameError, match=r"^no loss is called 'hubber'; did you mean 'huber'"):
            losses.load("hubber")
        with pytest.raises(UnknownNameError, match=r"^no encoder is called 'mlpp'; did you mean 'mlp'"):
            encoders.load("mlpp")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("class Wider: pass", "has no attribute 'Wide'"),
            ("import nobody_has_this", "No module named 'nobody_has_this'"),
        ],
        ids=["no such class", "an import that fails"],
    )
    def test_a_file_without_its_class(self, ship: Ship, widgets: Registry[Any], text: str, reason: str) -> None:
        package = ship("kind", wide=text)
        with pytest.raises(
            PluginError, match=rf"^{package}\.wide of kind must define the class Wide, however: .*{reason}"
        ):
            widgets.load("wide")

    @pytest.mark.parametrize("text", ["class Wide(", "1 / 0"])
    def test_a_file_that_breaks_while_it_is_imported(self, ship: Ship, widgets: Registry[Any], text: str) -> None:
        package = ship("kind", wide=text)
        with pytest.raises(PluginError, match=rf"^{package}\.wide of kind must define the class Wide, however: "):
            widgets.load("wide")

    @pytest.mark.parametrize("text", ["class Wide: pass", "Wide = 3", "from autodl.contracts import Fusion as Wide"])
    def test_a_class_that_follows_another_contract(self, ship: Ship, widgets: Registry[Any], text: str) -> None:
        package = ship("kind", wide=text)
        expected = rf"^{package}\.wide\.Wide must be a subclass of autodl\.contracts\.Encoder$"
        with pytest.raises(PluginError, match=expected):
            widgets.load("wide")


class TestABrokenPackage:
    @pytest.mark.parametrize(
        ("point", "reason"),
        [
            ("nobody_has_this", "the room 'nobody_has_this' must be an importable package"),
            ("nobody_has_this.inside", "No module named 'nobody_has_this'"),
            ("{package}.wide", r"the room '\w+\.wide' must be an importable package"),
        ],
        ids=["no room", "a room in nothing", "a file"],
    )
    def test_it_costs_one_warning_and_the_others_are_there(
        self, ship: Ship, widgets: Registry[Any], point: str, reason: str
    ) -> None:
        ship("broken", point, wide="")
        ship("kind", deep=good("Deep"))
        with pytest.warns(UserWarning, match=f"^widgets of broken are left out: {reason}$") as told:
            assert widgets.names() == ["deep"]
        assert len(told) == 1
        assert widgets.load("deep").__name__ == "Deep"  # a second warning would be an error here

    def test_a_value_that_names_no_module_costs_one_warning_too(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("broken", "my-room")
        ship("kind", deep="")
        with pytest.warns(UserWarning, match="^widgets of broken are left out: "):
            assert widgets.names() == ["deep"]

    def test_a_file_that_is_no_python_has_no_description(self, ship: Ship, widgets: Registry[Any]) -> None:
        """A list of all components must not end at it."""
        ship("broken", wide="class Wide(")
        assert isinstance(widgets.describe("wide"), str)

    def test_it_says_nothing_where_it_may_not_load(
        self, ship: Ship, widgets: Registry[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ship("broken", "nobody_has_this")
        monkeypatch.setenv("AUTODL_PLUGINS", "")
        assert widgets.names() == []


class TestLimits:
    """``AUTODL_PLUGINS`` names packages, not distributions."""

    @pytest.fixture
    def limited(self, ship: Ship, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
        packages = {"one": ship("kind", one=""), "two": ship("other-kind", two=""), "three": ship("third", three="")}

        def names(limit: str) -> list[str]:
            monkeypatch.setenv("AUTODL_PLUGINS", limit.format(**packages))
            return Registry[Any]("widgets", "Encoder").names()

        return names

    @pytest.mark.parametrize(
        ("limit", "names"),
        [
            ("", []),
            ("{two}", ["two"]),
            ("{one}, {three} ", ["one", "three"]),
            ("kind", []),
            ("{one}.one,{two}x", []),
        ],
    )
    def test_only_what_is_named_loads(self, limited: Callable[[str], list[str]], limit: str, names: list[str]) -> None:
        assert limited(limit) == names

    def test_the_engines_own_rooms_always_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUTODL_PLUGINS", "nobody")
        assert "mlp" in Registry[Any]("encoders", "Encoder").names()
        assert Registry[Any]("fusions", "Fusion").names() == []


class TestAdd:
    class WideOne(Encoder):
        """Own layers.

        More of it.
        """

    def test_a_class_of_this_process_joins_under_its_snake_case(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("kind", deep="")
        assert widgets.add(self.WideOne) is self.WideOne
        assert widgets.names() == ["deep", "wide_one"]
        assert widgets.load("wide_one") is self.WideOne
        assert widgets.distribution("wide_one") == "this process"
        assert widgets.describe("wide_one") == "Own layers."

    def test_it_stands_before_one_that_is_shipped(self, ship: Ship, widgets: Registry[Any]) -> None:
        ship("kind", wide_one=good("WideOne", "Shipped layers."))
        shipped = widgets.load("wide_one")
        widgets.add(self.WideOne)
        assert widgets.names() == ["wide_one"]
        assert widgets.load("wide_one") is self.WideOne is not shipped
        assert (widgets.distribution("wide_one"), widgets.describe("wide_one")) == ("this process", "Own layers.")

    def test_other_registries_do_not_know_it(self, widgets: Registry[Any]) -> None:
        widgets.add(self.WideOne)
        assert Registry[Any]("widgets", "Encoder").names() == []
