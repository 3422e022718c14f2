from __future__ import annotations

import pytest

from autodl.encoders._settings import complete, dropout_knob, is_image, is_vector, keep_options, narrow_width
from autodl.errors import SpaceError, UnknownNameError
from autodl.space import Choice, Integer, Space
from autodl.testing.encoder import image_spec, table_spec

SPACE = Space(
    depth=Integer(0, 3, doc="d", default=1, limits=(0, 9)),
    width=Choice(8, 16, 32, doc="w", when={"depth": (1, 2, 3)}, default=16, limits=(1, 100)),
    dropout=dropout_knob("share", default=0.1),
)


def test_complete_fills_in_defaults() -> None:
    assert complete(SPACE, {}) == {"depth": 1, "width": 16, "dropout": 0.1}
    assert complete(SPACE, {"depth": 2, "width": 100}) == {"depth": 2, "width": 100, "dropout": 0.1}


def test_complete_leaves_out_what_does_not_count() -> None:
    assert complete(SPACE, {"depth": 0, "width": 8}) == {"depth": 0, "dropout": 0.1}


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no setting is called 'widht'; did you mean 'width'"):
        complete(SPACE, {"widht": 8})


@pytest.mark.parametrize(
    "settings", [{"width": 101}, {"width": "8"}, {"dropout": 1.0}, {"depth": 1.5}, {"depth": True}]
)
def test_a_value_beyond_the_limits_is_refused(settings: dict[str, object]) -> None:
    (name,) = settings
    with pytest.raises(SpaceError, match=rf"{name} must .* however .* came; "):
        complete(SPACE, settings)


def test_keep_options_moves_the_default_to_the_nearest() -> None:
    choice = Choice(1, 2, 4, 8, doc="step", default=4, limits=(1, 9), when={"a": (1,)}, per_member=True)
    small = keep_options(choice, lambda step: step < 3)
    assert small == Choice(1, 2, doc="step", default=2, limits=(1, 9), when={"a": (1,)}, per_member=True)
    assert keep_options(choice, lambda step: step > 1).center() == 4
    assert keep_options(choice, lambda step: step > 4).center() == 8


def test_keep_options_keeps_at_least_the_first() -> None:
    assert keep_options(Choice(3, 5), lambda _: False).options == (3,)


def test_wide_inputs_get_narrow_layers() -> None:
    width = narrow_width(SPACE, image_spec(3, 400, 400))["width"]
    assert isinstance(width, Choice)
    assert width.options == (8, 16)  # 480,000 inputs × 16 are 7.7 million weights
    assert narrow_width(SPACE, table_spec(numeric=3))["width"] == SPACE["width"]


def test_shapes() -> None:
    assert is_vector(table_spec(numeric=1))
    assert not is_vector(image_spec(1, 4, 4))
    assert is_image(image_spec(1, 4, 5), side=4)
    assert not is_image(image_spec(1, 4, 3), side=4)
    assert not is_image(table_spec(numeric=1))
