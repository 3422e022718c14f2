from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import DeepLift
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from autodl.contracts import Dropout
from autodl.encoders.audio_cnn import AudioCnn
from autodl.encoders.cnn import Cnn
from autodl.encoders.residual_cnn import ResidualCnn
from autodl.space import Integer
from autodl.testing.encoder import image_spec, rows, sound_spec, table_spec

SMALL: dict[str, Any] = {"blocks": 2, "channels": 8, "width": 64}


def test_accepts_sounds_and_nothing_else() -> None:
    assert AudioCnn.accepts(sound_spec(4, 4))
    assert not AudioCnn.accepts(sound_spec(3, 40))
    assert not AudioCnn.accepts(sound_spec(40, 3))
    assert not AudioCnn.accepts(image_spec(1, 28, 28))
    assert not AudioCnn.accepts(table_spec())


def test_encoders_of_images_take_sounds_by_their_shape() -> None:
    assert Cnn.accepts(sound_spec(48, 71))
    assert ResidualCnn.accepts(sound_spec(48, 71))


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("normalisation", ["none", "group"])
def test_is_the_textbooks(pool: str, stem_stride: int, normalisation: str) -> None:
    """Convolution, normalisation, ReLU and pooling, twice; mean and maximum over time beside each other; dense."""
    torch.manual_seed(0)
    spec = sound_spec(17, 23)
    chosen = {**SMALL, "pool": pool, "stem_stride": stem_stride, "normalisation": normalisation}
    encoder = AudioCnn(spec, **chosen, kernel=5).double().eval()
    x = rows(spec, 3).double()
    found = encoder(x)
    norms = [part for part in encoder.modules() if isinstance(part, nn.GroupNorm)]
    for place, layer in enumerate(part for part in encoder.modules() if isinstance(part, nn.Conv2d)):
        x = functional.conv2d(x, layer.weight, layer.bias, stride=1 if place else stem_stride, padding=2)
        if normalisation == "group":
            x = functional.group_norm(x, norms[place].num_groups, norms[place].weight, norms[place].bias)
        x = x.clamp(min=0)
        height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
        cells = torch.stack([x[:, :, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)])
        x = cells.amax(0) if pool == "max" else cells.mean(0)
    both = torch.cat((x.mean(3).flatten(1), x.amax(3).flatten(1)), dim=1)
    dense = next(part for part in encoder.modules() if isinstance(part, nn.Linear))
    expected = (both @ dense.weight.T + dense.bias).clamp(min=0)
    torch.testing.assert_close(found, expected.unsqueeze(1))


def test_when_something_sounds_does_not_matter() -> None:
    """Moved by whole cells of the last maps, away from the borders, a sound gives the same token."""
    spec = sound_spec(16, 96)
    encoder = AudioCnn(spec, **SMALL, normalisation="none", stem_stride=2).double().eval()
    x = torch.zeros(3, 1, 16, 96, dtype=torch.float64)
    sound = rows(sound_spec(16, 12), 1).double()[0]
    for row, start in enumerate((32, 40, 48)):  # cells of the last maps are 8 frames wide
        x[row, :, :, start : start + 12] = sound
    tokens = encoder(x)
    torch.testing.assert_close(tokens[1:], tokens[:1].expand(2, -1, -1))


def test_at_which_height_something_sounds_does_matter() -> None:
    torch.manual_seed(0)
    spec = sound_spec(32, 32)
    encoder = AudioCnn(spec, **SMALL, normalisation="none").eval()
    x = torch.zeros(2, 1, 32, 32)
    x[0, :, 8:12] = x[1, :, 16:20] = 1
    first, second = encoder(x)
    assert (first - second).abs().max() > 0.01


@given(
    sides=st.tuples(st.integers(4, 48), st.integers(4, 48)),
    blocks=st.integers(1, 8),
    kernel=st.sampled_from([3, 5]),
    stem_stride=st.sampled_from([1, 2]),
    convolutions=st.integers(1, 2),
)
@settings(deadline=None, max_examples=40)
def test_any_size_from_four_by_four_works(sides: tuple[int, int], **chosen: Any) -> None:
    """The worked-out size is the true one, whatever the input."""
    spec = sound_spec(*sides)
    tokens = AudioCnn(spec, **chosen, channels=4, growth=1, width=16).eval()(rows(spec, 1))
    assert tokens.shape == (1, 1, 16)
    assert tokens.isfinite().all()


def test_maps_and_dense_units_are_dropped_whole() -> None:
    encoder = AudioCnn(sound_spec(16, 16), blocks=2, channels=16, growth=2, width=64)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(32, 1, 1), (64,)]


@pytest.mark.parametrize(("growth", "expected"), [(1, [256, 256, 256]), (2, [256, 512, 512])])
def test_channels_grow_and_stop_growing(growth: int, expected: list[int]) -> None:
    encoder = AudioCnn(sound_spec(32, 32), blocks=3, channels=256, growth=growth, convolutions=1, kernel=3)
    assert [part.out_channels for part in encoder.modules() if isinstance(part, nn.Conv2d)] == expected


@pytest.mark.parametrize(
    ("sides", "low", "high"), [((4, 4), 1, 1), ((8, 8), 2, 2), ((48, 71), 2, 5), ((48, 160), 2, 5)]
)
def test_blocks_fit_the_sound(sides: tuple[int, int], low: int, high: int) -> None:
    blocks = AudioCnn.space_for(sound_spec(*sides))["blocks"]
    assert isinstance(blocks, Integer)
    assert (blocks.low, blocks.high) == (low, high)


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_deep_lift_is_exact_on_relu(pool: str) -> None:
    """The maps that mean and maximum share are told apart, else DeepLift would be silently wrong."""
    torch.manual_seed(0)
    spec = sound_spec(12, 20)
    encoder = AudioCnn(spec, **SMALL, pool=pool, normalisation="none").double()
    network = nn.Sequential(encoder, nn.Flatten(), nn.Linear(64, 2).double()).eval()
    x, baseline = rows(spec, 3).double(), rows(spec, 1, seed=9).double()
    shares: Tensor = DeepLift(network).attribute(x.requires_grad_(), baseline.requires_grad_(), target=1)
    gap = shares.flatten(1).sum(1) - (network(x) - network(baseline))[:, 1]
    assert gap.abs().max() < 1e-10


def test_it_convolves() -> None:
    assert AudioCnn.convolutional
