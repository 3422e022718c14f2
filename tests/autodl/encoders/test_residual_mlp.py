from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from autodl.contracts import Dropout
from autodl.encoders.residual_mlp import ResidualMlp
from autodl.testing.encoder import rows, table_spec

SPEC = table_spec(numeric=3, categories=(2,))


def layer_norm(x: Tensor) -> Tensor:
    return torch.stack([(row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() for row in x])


def test_is_the_textbooks() -> None:
    """arXiv 2106.11959, section 3.2, with layer normalisation."""
    encoder = ResidualMlp(SPEC, depth=2, width=32, expansion=2, normalisation="layer").double().eval()
    x = rows(SPEC, 4).double()
    found = encoder(x)
    stem, *pairs = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    x = x @ stem.weight.T + stem.bias
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        hidden = (layer_norm(x) @ first.weight.T + first.bias).clamp(min=0)
        x = x + hidden @ second.weight.T + second.bias
    torch.testing.assert_close(found, layer_norm(x).clamp(min=0).unsqueeze(1))


@pytest.mark.parametrize(("normalisation", "a_norm"), [("layer", 2 * 16), ("rms", 16)])
def test_parameters_counted_by_hand(normalisation: str, a_norm: int) -> None:
    encoder = ResidualMlp(SPEC, depth=3, width=16, expansion=4, normalisation=normalisation)
    block = a_norm + (16 * 64 + 64) + (64 * 16 + 16)
    assert sum(p.numel() for p in encoder.parameters()) == (5 * 16 + 16) + 3 * block + a_norm


def test_both_dropouts_sit_in_every_block() -> None:
    encoder = ResidualMlp(SPEC, depth=2, width=32, expansion=2, dropout=0.5, residual_dropout=0.25)
    sites = [(site.shape, site.rate.item()) for site in encoder.modules() if isinstance(site, Dropout)]
    assert sites == [((64,), 0.5), ((32,), 0.25)] * 2


def test_depth_does_not_raise_the_scale() -> None:
    """What 24 blocks add to the stem's output has about the power of what one adds."""
    torch.manual_seed(0)
    x = rows(SPEC, 64)
    added = []
    for depth in (1, 24):
        encoder = ResidualMlp(SPEC, depth=depth, width=256).eval()
        start = encoder.stem(x)
        added.append((encoder.blocks(start) - start).square().mean().item())
    assert added[1] == pytest.approx(added[0], rel=1.0)
    assert math.isfinite(added[1])
