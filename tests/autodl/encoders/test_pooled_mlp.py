from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl import registry
from autodl.contracts import Dropout
from autodl.encoders.pooled_mlp import PooledMlp
from autodl.testing.encoder import image_spec, rows, sound_spec

MAPS = image_spec(1280, 2, 2)


def test_takes_feature_maps_and_no_images_or_sounds() -> None:
    assert PooledMlp.accepts(MAPS)
    assert PooledMlp.accepts(image_spec(128, 1, 1))
    assert not PooledMlp.accepts(image_spec(3, 64, 64))
    assert not PooledMlp.accepts(sound_spec(128, 40))
    assert not PooledMlp.accepts(replace(MAPS, axes=("channel", "frequency", "time")))


@pytest.mark.parametrize("name", ["cnn", "residual_cnn", "audio_cnn", "efficientnet_lite0"])
def test_encoders_that_convolve_do_not_take_maps_of_two_by_two(name: str) -> None:
    assert not registry.encoders.load(name).accepts(MAPS)


@pytest.mark.parametrize("name", ["linear", "mlp", "residual_mlp"])
def test_encoders_of_vectors_take_them_flattened(name: str) -> None:
    encoder = registry.encoders.load(name)
    space = encoder.space_for(MAPS)
    assert encoder.accepts(MAPS)
    assert not {"embedding", "bins", "frequency_scale"} & set(space)
    assert encoder(MAPS, **space.defaults())(rows(MAPS, 2)).shape[:2] == (2, 1)


def test_without_hidden_layers_it_hands_on_the_means() -> None:
    encoder = PooledMlp(MAPS, depth=0, normalisation="none").eval()
    x = rows(MAPS, 3)
    assert encoder.width == 1280
    torch.testing.assert_close(encoder(x), x.flatten(2).mean(2).unsqueeze(1))


def test_is_the_textbooks() -> None:
    encoder = PooledMlp(image_spec(128, 2, 3), depth=1, width=64, activation="relu").eval()
    x = rows(image_spec(128, 2, 3), 4)
    means = x.sum((2, 3)) / 6
    even = (means - means.mean(1, keepdim=True)) / (means.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    (layer,) = [part for part in encoder.modules() if isinstance(part, nn.Linear)]
    expected = (even @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(encoder(x).squeeze(1), expected)


@pytest.mark.parametrize(("pool", "same"), [("mean", True), ("none", False)])
def test_means_forget_where_something_was_seen(pool: str, same: bool) -> None:
    encoder = PooledMlp(MAPS, pool=pool).eval()
    x = rows(MAPS, 2)
    assert torch.allclose(encoder(x), encoder(x.flip(-1)), atol=1e-5) == same


def test_dropout_before_each_layer_and_before_the_head() -> None:
    encoder = PooledMlp(MAPS, depth=2, width=64)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(1280,), (64,), (64,)]


def test_asks_for_what_a_pretrained_network_sees() -> None:
    space = registry.modalities.load("image").space
    assert all(space[name].allows(value) for name, value in PooledMlp.reads.items())
    assert PooledMlp.pretrained
