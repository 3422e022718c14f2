from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from captum.attr import DeepLift
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autodl.contracts import Dropout
from autodl.encoders.cnn import Cnn
from autodl.space import Integer
from autodl.testing.encoder import image_spec, rows

ARTICLE: dict[str, Any] = {
    "blocks": 2,
    "channels": 10,
    "growth": 2,
    "kernel": 5,
    "convolutions": 1,
    "padding": "valid",
    "pool": "max",
    "activation": "relu",
    "normalisation": "none",
    "dense_depth": 1,
    "dense_width": 500,
    "dropout": 0.0,
}


def flattened(encoder: Cnn) -> int:
    return next(part.in_features for part in encoder.layers if isinstance(part, nn.Linear))


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (28, 20 * 4 * 4),  # 28 → 24 → 12 → 8 → 4
        (32, 20 * 5 * 5),  # 32 → 28 → 14 → 10 → 5
        (64, 20 * 13 * 13),  # 64 → 60 → 30 → 26 → 13
        (8, 20 * 2 * 2),  # 8 → 4 → 2, then with padding and no pool
        (4, 20 * 2 * 2),  # 4 → with padding 4 → 2, then as above
    ],
)
def test_the_articles_flattened_size_is_worked_out(side: int, expected: int) -> None:
    assert flattened(Cnn(image_spec(1, side, side), **ARTICLE)) == expected


def test_the_articles_parameters_counted_by_hand() -> None:
    encoder = Cnn(image_spec(1, 28, 28), **ARTICLE)
    convolutions = (25 * 1 * 10 + 10) + (25 * 10 * 20 + 20)
    assert sum(p.numel() for p in encoder.parameters()) == convolutions + (320 * 500 + 500)
    assert encoder.width == 500


def plain_convolution(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Every output cell is a sum over a window; no padding."""
    kernel = layer.kernel_size[0]
    height, width = x.shape[2] - kernel + 1, x.shape[3] - kernel + 1
    out = torch.empty(len(x), layer.out_channels, height, width, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            window = x[:, :, i : i + kernel, j : j + kernel].flatten(1)
            out[:, :, i, j] = window @ layer.weight.flatten(1).T
            if layer.bias is not None:
                out[:, :, i, j] += layer.bias
    return out


def plain_pool(x: Tensor, kind: str) -> Tensor:
    height, width = x.shape[2] // 2, x.shape[3] // 2
    cells = [x[:, :, a : 2 * height : 2, b : 2 * width : 2] for a in (0, 1) for b in (0, 1)]
    stacked = torch.stack(cells)
    return stacked.amax(0) if kind == "max" else stacked.mean(0)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_is_the_textbooks(pool: str) -> None:
    spec = image_spec(2, 15, 19)
    encoder = Cnn(spec, **{**ARTICLE, "kernel": 3, "pool": pool, "dense_width": 64}).double().eval()
    x = rows(spec, 2).double()
    found = encoder(x)
    for layer in (part for part in encoder.layers if isinstance(part, nn.Conv2d)):
        x = plain_pool(plain_convolution(x, layer).clamp(min=0), pool)
    dense = next(part for part in encoder.layers if isinstance(part, nn.Linear))
    expected = (x.flatten(1) @ dense.weight.T + dense.bias).clamp(min=0)
    torch.testing.assert_close(found, expected.unsqueeze(1))


def test_same_padding_keeps_the_sides() -> None:
    spec = image_spec(1, 9, 9)
    encoder = Cnn(spec, blocks=1, channels=8, kernel=5, padding="same", dense_depth=0).double().eval()
    first = encoder.layers[0]
    assert isinstance(first, nn.Conv2d)
    x = rows(spec, 2).double()
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    torch.testing.assert_close(first(x), plain_convolution(padded, first))


@given(
    channels=st.sampled_from([1, 3]),
    sides=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    blocks=st.integers(1, 8),
    kernel=st.sampled_from([3, 5]),
    padding=st.sampled_from(["same", "valid"]),
    convolutions=st.integers(1, 2),
    normalisation=st.sampled_from(["none", "group"]),
)
@settings(deadline=None, max_examples=60)
def test_any_size_from_four_by_four_works(channels: int, sides: tuple[int, int], **chosen: Any) -> None:
    """The worked-out size is the true one, whatever the input; maps never shrink below 2×2."""
    spec = image_spec(channels, *sides)
    encoder = Cnn(spec, **chosen, channels=4, growth=1, dense_depth=0).eval()
    tokens = encoder(rows(spec, 1))
    assert tokens.shape == (1, 1, encoder.width)
    assert encoder.width >= 4 * 2 * 2
    assert tokens.isfinite().all()


def test_maps_and_dense_units_are_dropped_whole() -> None:
    encoder = Cnn(image_spec(1, 8, 8), channels=16, blocks=2, growth=2, dense_depth=2, dense_width=64)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(32, 1, 1), (64,), (64,)]


@pytest.mark.parametrize(("growth", "expected"), [(1, [8, 8, 8]), (2, [8, 16, 32])])
def test_channels_grow(growth: int, expected: list[int]) -> None:
    encoder = Cnn(image_spec(1, 16, 16), blocks=3, channels=8, growth=growth, convolutions=1)
    assert [part.out_channels for part in encoder.layers if isinstance(part, nn.Conv2d)] == expected


def test_channels_stop_growing() -> None:
    encoder = Cnn(image_spec(1, 64, 64), blocks=3, channels=256, growth=2, convolutions=1, dense_depth=0)
    assert [part.out_channels for part in encoder.layers if isinstance(part, nn.Conv2d)] == [256, 512, 512]


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_deep_lift_is_exact_on_relu(pool: str) -> None:
    """An activation's output is not the very tensor that a pool gets, else DeepLift would be silently wrong."""
    torch.manual_seed(0)
    spec = image_spec(1, 12, 12)
    encoder = Cnn(spec, channels=8, padding="valid", pool=pool, dense_width=64).double()
    network = nn.Sequential(encoder, nn.Flatten(), nn.Linear(64, 2).double()).eval()
    x, baseline = rows(spec, 3).double(), rows(spec, 1, seed=9).double()
    shares = DeepLift(network).attribute(x.requires_grad_(), baseline.requires_grad_(), target=1)
    gap = shares.flatten(1).sum(1) - (network(x) - network(baseline))[:, 1]
    assert gap.abs().max() < 1e-10


@pytest.mark.parametrize(
    ("side", "low", "default", "high"), [(4, 1, 1, 1), (8, 1, 1, 2), (28, 1, 2, 3), (64, 2, 3, 5), (224, 4, 5, 6)]
)
def test_blocks_fit_the_image(side: int, low: int, default: int, high: int) -> None:
    blocks = Cnn.space_for(image_spec(3, side, side))["blocks"]
    assert isinstance(blocks, Integer)
    assert (blocks.low, blocks.center(), blocks.high) == (low, default, high)


def test_accepts_images_from_four_by_four() -> None:
    assert Cnn.accepts(image_spec(1, 4, 4))
    assert not Cnn.accepts(image_spec(1, 3, 28))


def test_it_convolves() -> None:
    assert Cnn.convolutional


def test_weights_are_hes() -> None:
    torch.manual_seed(0)
    encoder = Cnn(image_spec(3, 28, 28), channels=64, blocks=1, kernel=5)
    first = encoder.layers[0]
    assert isinstance(first, nn.Conv2d)
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 75), rel=0.05)
