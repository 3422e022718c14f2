from __future__ import annotations

import inspect

from hypothesis import given
from hypothesis import strategies as st

from autodl import errors
from autodl.errors import AutoDLError, UnknownNameError, nearest, unknown_name

NAMES = st.text("abcdefgh_", min_size=1, max_size=12)


def classes() -> dict[str, type]:
    return {
        name: each for name, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
    }


def test_one_except_catches_all_that_a_user_can_act_on() -> None:
    assert [name for name, error in classes().items() if not issubclass(error, AutoDLError)] == []
    assert AutoDLError.__base__ is Exception


def test_the_tree_in_the_docstring_is_the_tree_there_is() -> None:
    lines = [line.split() for line in (errors.__doc__ or "").splitlines() if "─" in line]
    drawn = {words[1] for words in lines}
    assert drawn == {name for name, error in classes().items() if error.__base__ is AutoDLError}
    assert drawn == set(classes()) - {"AutoDLError"}


class TestNearest:
    def test_a_slip_of_the_pen_is_seen(self) -> None:
        assert nearest("adamv", ["sgd", "adamw", "muon"]) == "did you mean 'adamw'? known: adamw, muon, sgd"

    def test_nothing_is_suggested_where_nothing_is_near(self) -> None:
        assert nearest("xyz", ["sgd", "adamw"]) == "known: adamw, sgd"

    def test_nothing_known_is_said(self) -> None:
        assert nearest("mlp", []) == "known: none"

    def test_names_may_come_from_a_generator(self) -> None:
        assert nearest("mlq", (name for name in ("mlp", "cnn"))) == "did you mean 'mlp'? known: cnn, mlp"

    @given(known=st.sets(NAMES, min_size=1, max_size=6), data=st.data())
    def test_a_known_name_is_nearest_to_itself(self, known: set[str], data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(known)))
        assert nearest(name, known).startswith(f"did you mean '{name}'? ")

    @given(name=NAMES, known=st.sets(NAMES, min_size=1, max_size=6))
    def test_all_known_names_are_listed_in_order_and_one_of_them_at_most_is_suggested(
        self, name: str, known: set[str]
    ) -> None:
        hint, _, listed = nearest(name, known).partition("known: ")
        assert listed == ", ".join(sorted(known))
        assert hint == "" or hint in {f"did you mean '{each}'? " for each in known}


def test_an_unknown_name_is_told_with_its_kind_the_nearest_and_all() -> None:
    error = unknown_name("loss", "hubber", ["huber", "focal"])
    assert type(error) is UnknownNameError
    assert str(error) == "no loss is called 'hubber'; did you mean 'huber'? known: focal, huber"
