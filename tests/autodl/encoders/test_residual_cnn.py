from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autodl.contracts import Dropout
from autodl.encoders.residual_cnn import ResidualCnn
from autodl.space import Choice, Integer
from autodl.testing.encoder import image_spec, rows


def ready(x: Tensor, groups: int) -> Tensor:
    """Group normalisation, then ReLU."""
    parts = x.reshape(len(x), groups, -1)
    parts = (parts - parts.mean(-1, keepdim=True)) / (parts.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return parts.reshape(x.shape).clamp(min=0)


def test_is_the_textbooks() -> None:
    """Arxiv 1603.05027, figure 4e, with group normalisation; a changed shape is projected after activation."""
    spec = image_spec(2, 9, 6)
    encoder = ResidualCnn(spec, stages=2, blocks=2, channels=16, growth=2).double().eval()
    x = rows(spec, 2).double()
    found = encoder(x)
    state = encoder.state_dict()

    def convolve(x: Tensor, name: str, stride: int = 1, padding: int = 1) -> Tensor:
        return nn.functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    x = convolve(x, "stem")
    for block, (groups_in, groups_out, stride) in enumerate([(4, 4, 1), (4, 4, 1), (4, 8, 2), (8, 8, 1)]):
        name = f"blocks.{block}"
        start = ready(x, groups_in)
        inner = ready(convolve(start, f"{name}.change.0", stride), groups_out)
        kept = convolve(start, f"{name}.shortcut", stride, padding=0) if stride == 2 else x
        x = kept + convolve(inner, f"{name}.change.4")
    x = ready(x, 8)
    assert x.shape == (2, 32, 5, 3)
    expected = torch.stack([x[:, :, i, j] for i in range(5) for j in range(3)], dim=1)
    torch.testing.assert_close(found, expected)


def test_the_mean_over_tokens_is_global_average_pooling() -> None:
    spec = image_spec(1, 28, 28)
    encoder = ResidualCnn(spec).eval()
    x = rows(spec, 2)
    tokens, maps = encoder(x), encoder.last(encoder.blocks(encoder.stem(x)))
    assert tokens.shape == (2, 7 * 7, 128)
    torch.testing.assert_close(tokens.mean(1), nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1))


def test_parameters_counted_by_hand() -> None:
    encoder = ResidualCnn(image_spec(3, 16, 16), stages=2, blocks=1, channels=16, growth=2)
    stem = 3 * 16 * 9
    first = 2 * 16 + 16 * 16 * 9 + 2 * 16 + 16 * 16 * 9
    second = 2 * 16 + 16 * 32 * 9 + 2 * 32 + 32 * 32 * 9 + 16 * 32
    assert sum(p.numel() for p in encoder.parameters()) == stem + first + second + 2 * 32


@pytest.mark.parametrize(
    ("sides", "stages", "cells"), [((4, 4), 2, 4), ((4, 4), 6, 4), ((17, 23), 3, 5 * 6), ((4, 40), 3, 2 * 10)]
)
def test_sides_are_halved_while_they_can_be(sides: tuple[int, int], stages: int, cells: int) -> None:
    spec = image_spec(1, *sides)
    assert ResidualCnn(spec, stages=stages, channels=16, growth=1)(rows(spec, 1)).shape == (1, cells, 16)


@pytest.mark.parametrize(("step", "cells"), [(1, 33 * 50), (2, 17 * 25), (4, 9 * 13)])
def test_the_first_step(step: int, cells: int) -> None:
    spec = image_spec(1, 33, 50)
    assert ResidualCnn(spec, stages=1, channels=16, stem_stride=step)(rows(spec, 1)).shape[1] == cells


def test_dropout_drops_whole_maps_inside_blocks() -> None:
    encoder = ResidualCnn(image_spec(1, 8, 8), stages=2, blocks=1, channels=16, growth=2, dropout=0.3)
    sites = [(site.shape, round(site.rate.item(), 6)) for site in encoder.modules() if isinstance(site, Dropout)]
    assert sites == [((16, 1, 1), 0.3), ((32, 1, 1), 0.3)]


@pytest.mark.parametrize(
    ("side", "stages", "steps"),
    [(4, 2, None), (8, 3, None), (28, 4, None), (64, 4, (1, 2)), (128, 4, (2, 4)), (900, 4, (4,))],
)
def test_the_space_fits_the_image(side: int, stages: int, steps: tuple[int, ...] | None) -> None:
    space = ResidualCnn.space_for(image_spec(3, side, side))
    knob, step = space["stages"], space.get("stem_stride")
    assert isinstance(knob, Integer)
    assert knob.high == stages
    assert knob.center() <= stages
    assert (step.options if isinstance(step, Choice) else None) == steps


def test_accepts_images_from_four_by_four() -> None:
    assert ResidualCnn.accepts(image_spec(1, 4, 4))
    assert not ResidualCnn.accepts(image_spec(1, 3, 28))
    assert ResidualCnn.convolutional
