from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.errors import SpaceError
from autodl.space import Choice, Dimension, Float, Integer, Space

NUMBERS = st.floats(-1e100, 1e100)
POSITIVE = st.floats(1e-100, 1e100)
WHOLE = st.integers(-(10**6), 10**6)
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
RANGES = st.one_of(
    st.tuples(NUMBERS, NUMBERS).map(lambda ends: Float(*sorted(ends))),
    st.tuples(POSITIVE, POSITIVE).map(lambda ends: Float(*sorted(ends), log=True)),
    st.tuples(WHOLE, WHOLE).map(lambda ends: Integer(*sorted(ends))),
    st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).map(lambda ends: Integer(*sorted(ends), log=True)),
)
CHOICES = st.lists(st.booleans() | WHOLE | NUMBERS | st.text(max_size=3), min_size=1, max_size=4).map(
    lambda options: Choice(*options)
)
SPACES = st.dictionaries(NAMES, RANGES | CHOICES, max_size=5)


class TestRanges:
    @pytest.mark.parametrize("kind", [Float, Integer])
    def test_ends_must_be_in_order(self, kind: Any) -> None:
        with pytest.raises(SpaceError, match=r"low <= high must hold, however low=2 and high=1 came; swap them"):
            kind(2, 1)
        assert kind(2, 2).center() == 2

    def test_an_end_must_be_a_number(self) -> None:
        with pytest.raises(SpaceError, match="low=nan"):
            Float(math.nan, 1.0)

    @pytest.mark.parametrize("kind", [Float, Integer])
    @pytest.mark.parametrize("low", [0, -1])
    def test_a_log_scale_must_begin_above_zero(self, kind: Any, low: int) -> None:
        with pytest.raises(SpaceError, match=f"low > 0 must hold on a log scale, however low={low} came"):
            kind(low, 8, log=True)
        assert kind(low, 8).low == low

    @given(RANGES)
    def test_the_center_is_allowed(self, dimension: Float | Integer) -> None:
        assert dimension.allows(dimension.center())
        assert type(dimension.center()) is (float if isinstance(dimension, Float) else int)

    @pytest.mark.parametrize(
        ("dimension", "center"),
        [
            (Float(1, 3), 2.0),
            (Float(1e-4, 1e-2, log=True), 1e-3),
            (Float(1, 3, default=0), 0.0),
            (Integer(1, 6), 4),
            (Integer(1, 64, log=True), 8),
            (Integer(1, 6, default=0), 0),
        ],
    )
    def test_the_center_by_hand(self, dimension: Float | Integer, center: float) -> None:
        assert dimension.center() == pytest.approx(center, rel=1e-12)
        assert type(dimension.center()) is type(center)

    @given(RANGES, st.one_of(NUMBERS, WHOLE))
    def test_a_value_is_allowed_just_where_it_lies_between_the_ends(
        self, dimension: Float | Integer, value: float
    ) -> None:
        fits = isinstance(value, int) or isinstance(dimension, Float)
        assert dimension.allows(value) == (fits and dimension.low <= value <= dimension.high)
        assert dimension.allows(dimension.low)
        assert dimension.allows(dimension.high)

    @pytest.mark.parametrize("dimension", [Float(1, 3, limits=(0, 10)), Integer(1, 3, limits=(0, 10))])
    def test_limits_are_what_a_user_may_ask_for(self, dimension: Float | Integer) -> None:
        assert [value for value in range(-5, 15) if dimension.allows(value)] == list(range(11))
        assert dimension.center() == 2

    @pytest.mark.parametrize("value", [True, False, "1", None, math.nan, math.inf, [1]])
    def test_what_is_no_number_is_not_allowed(self, value: Any) -> None:
        assert not Float(0, 2).allows(value)
        assert not Integer(0, 2).allows(value)


class TestChoice:
    def test_there_must_be_an_option(self) -> None:
        with pytest.raises(SpaceError, match="at least one option"):
            Choice()

    @given(CHOICES)
    def test_every_option_is_allowed_and_the_first_is_the_default(self, choice: Choice) -> None:
        assert all(choice.allows(option) for option in choice.options)
        assert choice.center() is choice.options[0]

    def test_a_default_may_be_any_option_even_one_that_counts_as_nothing(self) -> None:
        assert Choice(True, False, default=False).center() is False
        assert Choice("a", "", default="").center() == ""

    @pytest.mark.parametrize(
        ("choice", "value"),
        [(Choice(1, 2), True), (Choice(1, 2), 1.0), (Choice(0.0, 1.0), 1), (Choice(True, False), 1), (Choice("1"), 1)],
        ids=str,
    )
    def test_an_equal_value_of_another_type_is_no_option(self, choice: Choice, value: Any) -> None:
        assert value not in [option for option in choice.options if type(option) is type(value)]
        assert not choice.allows(value)

    def test_limits_open_every_whole_number_between_beside_the_options(self) -> None:
        choice = Choice(32, 64, "full", limits=(1, 100))
        assert all(choice.allows(value) for value in (1, 33, 100, "full"))
        assert not any(choice.allows(value) for value in (0, 101, 32.5, True, "half", None, math.nan))

    def test_limits_open_fractions_where_an_option_is_one(self) -> None:
        choice = Choice(0.9, 0.95, limits=(0, 0.999))
        assert all(choice.allows(value) for value in (0, 0.5, 0.999))
        assert not any(choice.allows(value) for value in (1, -0.1, False))


@pytest.mark.parametrize("dimension", [Float(0, 1), Integer(0, 1), Choice(0, 1)])
def test_a_knob_is_structural_always_active_and_not_to_be_changed(dimension: Dimension) -> None:
    assert not dimension.per_member
    assert dimension.active({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        dimension.doc = "changed"  # type: ignore[misc]


@pytest.mark.parametrize("kind", [lambda **own: Float(0, 1, **own), lambda **own: Choice(0, 1, **own)])
def test_a_knob_counts_only_beside_the_values_it_names(kind: Any) -> None:
    knob = kind(when={"optimizer": ("sgd", "muon"), "nesterov": (True,)})
    assert knob.active({"optimizer": "muon", "nesterov": True, "more": 1})
    assert not knob.active({"optimizer": "adam", "nesterov": True})
    assert not knob.active({"optimizer": "sgd", "nesterov": False})
    assert not knob.active({"optimizer": "sgd"})


class TestSpace:
    @given(SPACES)
    def test_it_is_a_mapping(self, dimensions: dict[str, Dimension]) -> None:
        space = Space(**dimensions)
        assert list(space.items()) == list(dimensions.items())
        assert len(space) == len(dimensions)
        assert space == dimensions
        assert "UPPER" not in space

    @given(SPACES)
    def test_defaults_are_allowed_values_of_all_knobs(self, dimensions: dict[str, Dimension]) -> None:
        defaults = Space(**dimensions).defaults()
        assert list(defaults) == list(dimensions)
        assert all(dimensions[name].allows(value) for name, value in defaults.items())

    def test_defaults_leave_out_what_does_not_count(self) -> None:
        """And what counts only beside something that is left out."""
        space = Space(
            kind=Choice("plain", "rich"),
            size=Integer(1, 3, when={"kind": ("rich",)}),
            shade=Float(0, 1, when={"size": (1, 2, 3)}),
            slope=Float(0, 1, when={"kind": ("plain",)}),
        )
        assert space.defaults() == {"kind": "plain", "slope": 0.5}
        rich = space.with_changes(kind=Choice("rich", "plain"))
        assert rich.defaults() == {"kind": "rich", "size": 2, "shade": 0.5}

    def test_what_may_differ_in_a_pack_is_not_structural(self) -> None:
        space = Space(depth=Integer(1, 2), rate=Float(0, 1, per_member=True), flag=Choice(True, False, per_member=True))
        assert space.structural() == {"depth"}

    @given(SPACES, SPACES)
    def test_changes_replace_or_add_in_a_copy(
        self, dimensions: dict[str, Dimension], changes: dict[str, Dimension]
    ) -> None:
        space = Space(**dimensions)
        assert space.with_changes(**changes) == {**dimensions, **changes}
        assert space == dimensions

    @given(SPACES, st.sets(NAMES))
    def test_without_leaves_the_others_in_order(self, dimensions: dict[str, Dimension], names: set[str]) -> None:
        space, names = Space(**dimensions), names | set(list(dimensions)[::2])
        assert list(space.without(*names)) == [name for name in dimensions if name not in names]
        assert space == dimensions

    def test_it_shows_what_it_holds(self) -> None:
        assert repr(Space()) == "Space()"
        assert repr(Space(depth=Integer(1, 2), b=Choice("x"))).startswith("Space(depth=Integer(")
        assert "high=2" in repr(Space(depth=Integer(1, 2)))
