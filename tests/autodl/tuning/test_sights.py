from __future__ import annotations

import pytest
import torch

from autodl import registry
from autodl.contracts import Encoder, Modality
from autodl.records import Component, InputSpec
from autodl.space import Choice, Float, Space
from autodl.tuning._assembly import SearchKnob
from autodl.tuning._sights import (
    Sights,
    as_it_is,
    counting,
    following,
    free_of,
    learnable,
    n_features,
    pretrained_sights,
)


class Photo(Modality):
    """A stand-in with two sights."""

    space = Space(
        features=Choice("pixels", "imagenet", doc="what is seen"),
        side=Choice(32, 64, doc="pixels", when={"features": ("pixels",)}),
        flip=Float(0.0, 1.0, default=0.0, per_member=True, doc="augmentation"),
    )


class OfMaps(Encoder):
    """Wishes to see maps."""

    reads = {"features": "imagenet"}  # noqa: RUF012


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    rooms = {"modalities": {"photo": Photo}, "encoders": {"of_maps": OfMaps, "plain": Encoder}}
    for room, classes in rooms.items():
        monkeypatch.setattr(registry.ROOMS[room], "names", lambda classes=classes: tuple(classes))
        monkeypatch.setattr(registry.ROOMS[room], "load", lambda name, classes=classes: classes[name])


def spec(*shape: int) -> InputSpec:
    return InputSpec(shape, ("x",), torch.zeros(shape, dtype=torch.int64), torch.zeros(shape))


def test_what_an_encoder_wishes_follows_from_it_and_is_no_knob():
    follow = following("photo")
    assert follow == {"features": "pixels"}
    freed = free_of(Photo.space["side"], follow)
    assert freed.when == {}
    assert freed.options == (32, 64)
    assert Photo.space["side"].when == {"features": ("pixels",)}


def test_settings_that_do_not_count_beside_the_others_are_left_out():
    assert counting("photo", {"features": "imagenet", "side": 64}) == {"features": "imagenet"}
    assert counting("photo", {"features": "pixels", "side": 64}) == {"features": "pixels", "side": 64}


def test_estimators_see_defaults_without_augmentation_or_what_an_encoder_reads():
    assert as_it_is("photo", {}) == Component("photo", {"features": "pixels", "side": 32})
    assert as_it_is("photo", OfMaps.reads) == Component("photo", {"features": "imagenet"})


def test_estimators_read_the_first_sight_that_is_narrow_enough():
    wide, maps, table = spec(3, 64, 64), spec(128, 2, 2), spec(5)
    assert learnable({"a": table, "b": wide}, {"b": {"of_maps": maps}}) == {("a", ""): table, ("b", "of_maps"): maps}
    assert learnable({"a": table, "b": wide}, {}) == {("a", ""): table}
    assert learnable({"b": wide}, {}) == {("b", ""): wide}
    assert n_features([table, maps]) == 5 + 128


def test_pretrained_sights_are_those_that_an_encoder_can_afford():
    inputs = {"b": ("photo", spec(3, 64, 64))}
    assert pretrained_sights(inputs, {}) == {}
    assert pretrained_sights(inputs, {"b": {"of_maps": spec(128, 2, 2)}}) == {"b": {"features": "imagenet"}}


def test_estimators_see_through_pretrained_weights_where_they_are_asked_to():
    sights = Sights.of({"b": ("photo", spec(1, 8, 8))}, {"b": {"of_maps": spec(128, 2, 2)}})
    own, other = (sights.of_estimator({"b": "photo"}, pretrained=each)["b"] for each in (False, True))
    assert own.settings == {"features": "pixels", "side": 32}
    assert other.settings == {"features": "imagenet"}


def test_a_network_sees_what_its_encoder_wishes():
    sights = Sights.of({"b": ("photo", spec(1, 8, 8))}, {})
    assert sights.of_encoder("b", "photo", "of_maps", {"side": 64, "flip": 0.5}).settings == {
        **{"features": "imagenet", "flip": 0.5},
    }
    assert sights.of_encoder("b", "photo", "plain", {"side": 64}).settings == {"features": "pixels", "side": 64}


def test_what_is_no_longer_searched_is_no_longer_seen():
    sights = Sights.of({"b": ("photo", spec(3, 64, 64))}, {"b": {"of_maps": spec(128, 2, 2)}})

    def choice(*options):
        return {"b.encoder": SearchKnob(("b",), "encoder", Choice(*options, doc="an encoder"))}

    assert sights.within(choice("of_maps", "plain"), {"b": "photo"}).pretrained == {"b": {"features": "imagenet"}}
    without = sights.within(choice("plain"), {"b": "photo"})
    assert without.pretrained == {}
    assert without.learned == {}
