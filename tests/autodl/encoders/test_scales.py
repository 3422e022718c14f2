from __future__ import annotations

import pytest
import torch

from autodl.encoders._scales import MOST_FOLDED, AdaptedLinear, FrontScale


def test_a_front_scale_starts_at_one_and_moves_six_times_as_fast() -> None:
    scale = FrontScale(3)
    x = torch.randn(5, 3)
    torch.testing.assert_close(scale(x), x)
    scale.factor.data[1] += 0.1
    torch.testing.assert_close(scale(x), x * torch.tensor([1, 1.6, 1]))


def drawn(layer: AdaptedLinear) -> AdaptedLinear:
    """The layer with scales and biases that differ."""
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


@pytest.mark.parametrize("inputs", [5, MOST_FOLDED + 1], ids=["folded", "unfolded"])
@pytest.mark.parametrize("place", ["first", "later"])
def test_a_layer_is_the_textbooks(inputs: int, place: str) -> None:
    """Eq. 5 of arXiv 2002.06715: s ∘ W (r ∘ x) + b, for each predictor."""
    layer = drawn(AdaptedLinear(inputs, 7, 3, own=True, first=place == "first"))
    assert layer.folds == (place == "first" and inputs == 5)
    x = torch.randn(4, 1 if place == "first" else 3, inputs, dtype=torch.float64)
    found = layer(x)
    assert found.shape == (4, 3, 7)
    assert layer.into is not None
    assert layer.out is not None
    r, s, b = layer.into.view(3, inputs), layer.out.view(3, 7), layer.bias.view(3, 7)
    for row in range(4):
        for copy in range(3):
            own = x[row, 0 if place == "first" else copy]
            torch.testing.assert_close(found[row, copy], s[copy] * (layer.weight @ (r[copy] * own)) + b[copy])


@pytest.mark.parametrize("inputs", [5, MOST_FOLDED + 1], ids=["folded", "unfolded"])
def test_adapters_of_the_first_layer_alone(inputs: int) -> None:
    layer = drawn(AdaptedLinear(inputs, 7, 3, own=False, first=True))
    assert layer.out is None
    assert layer.into is not None
    x = torch.randn(4, 1, inputs, dtype=torch.float64)
    expected = torch.stack([x[:, 0] * r @ layer.weight.T + layer.bias for r in layer.into.view(3, inputs)], dim=1)
    torch.testing.assert_close(layer(x), expected)
    later = drawn(AdaptedLinear(inputs, 7, 3, own=False, first=False))
    assert later.into is None
    tokens = torch.randn(4, 3, inputs, dtype=torch.float64)
    torch.testing.assert_close(later(tokens), tokens @ later.weight.T + later.bias)
