from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autodl.encoders._attention import Block
from autodl.encoders.text_attention import LONG, TextAttention
from autodl.space import Integer
from autodl.testing.encoder import build, image_spec, rows, text_spec

IDS = text_spec(9, vocabulary=20)
VECTORS = text_spec(9, entries=5)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("spec", [IDS, VECTORS], ids=["ids", "vectors"])
def test_a_token_taken_away_is_not_seen(spec: Any, depth: int) -> None:
    """Where places do not count, it is as if it were nothing."""
    encoder = build(TextAttention, spec, {"places": False, "depth": depth, "width": 32}).double().eval()
    x = rows(spec, 1).double()
    present = x[:, x[0].any(-1)]
    assert present.shape[1] < x.shape[1]
    torch.testing.assert_close(encoder(x), encoder(present))


@pytest.mark.parametrize("places", [False, True])
def test_a_text_without_tokens_has_an_answer(places: bool) -> None:
    encoder = build(TextAttention, IDS, {"places": places, "depth": 2}).eval()
    nothing = encoder(torch.zeros(2, 9, 1))
    assert nothing.isfinite().all()
    assert torch.equal(nothing[0], nothing[1])


def test_places_tell_the_order() -> None:
    x = torch.arange(1.0, 10.0, dtype=torch.float64).view(1, 9, 1)
    without = build(TextAttention, IDS, {"places": False}).double().eval()
    with_places = build(TextAttention, IDS, {"places": True}).double().eval()
    torch.testing.assert_close(without(x), without(x.flip(1)))
    assert not torch.allclose(with_places(x), with_places(x.flip(1)))


@pytest.mark.parametrize(("width", "heads", "expected"), [(32, 8, 8), (36, 8, 4), (5, 4, 1)])
def test_heads_share_the_width_evenly(width: int, heads: int, expected: int) -> None:
    blocks = [part for part in TextAttention(IDS, width=width, heads=heads).modules() if isinstance(part, Block)]
    assert [block.heads for block in blocks] == [expected]


def test_only_the_last_block_reads_one_token() -> None:
    encoder = TextAttention(IDS, depth=3)
    assert [part.last for part in encoder.modules() if isinstance(part, Block)] == [False, False, True]
    sizes: list[int] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda *args: sizes.append(args[2].shape[1]))
    encoder(rows(IDS, 2))
    assert sizes == [10, 10, 1]


def test_long_texts_get_fewer_blocks() -> None:
    deepest = []
    for length in (LONG, LONG + 1):
        depth = TextAttention.space_for(text_spec(length, vocabulary=9))["depth"]
        assert isinstance(depth, Integer)
        deepest.append(depth.high)
    assert deepest == [3, 2]


def test_accepts_texts_only() -> None:
    assert TextAttention.accepts(IDS)
    assert TextAttention.accepts(VECTORS)
    assert not TextAttention.accepts(image_spec())


def test_activations_are_modules() -> None:
    assert [type(part) for part in TextAttention(IDS).modules() if isinstance(part, nn.GELU)] == [nn.GELU]
