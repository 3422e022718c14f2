from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.encoders.text_bag import TextBag
from autodl.testing.encoder import build, image_spec, rows, text_spec

IDS = text_spec(9, vocabulary=20)
VECTORS = text_spec(9, entries=5)


def bag(spec: Any = IDS, **settings: Any) -> TextBag:
    """A bag whose every weight says something."""
    encoder = build(TextBag, spec, {"pairs": 64, **settings}).double().eval()
    for index, weight in enumerate(encoder.parameters()):
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(index))
    assert isinstance(encoder, TextBag)
    return encoder


def by_hand(encoder: TextBag, ids: list[int], pooling: str) -> Tensor:
    """Token by token."""
    table, score = encoder.tokens.embedding, encoder.get_parameter("counts.score")
    pairs = encoder.tokens.pairs
    assert table is not None
    assert pairs is not None
    total, counted = torch.zeros(encoder.width, dtype=torch.float64), 0.0
    for place, here in enumerate(ids):
        if here == 0:
            continue
        vector = table[here]
        if place and ids[place - 1]:
            vector = vector + pairs.embedding[(1_000_003 * ids[place - 1] + 8_191 * here) % 64]
        count = functional.softplus(score[here])
        total, counted = total + count * vector, counted + count.item()
    return total / (counted**0.5 if pooling == "root" else counted)


@pytest.mark.parametrize("pooling", ["root", "mean"])
def test_is_the_sum_by_hand(pooling: str) -> None:
    encoder, x = bag(pooling=pooling), rows(IDS, 6).double()
    expected = torch.stack([by_hand(encoder, [int(i) for i in row.flatten()], pooling) for row in x])
    torch.testing.assert_close(encoder(x), expected.unsqueeze(1))


@pytest.mark.parametrize("settings", [{}, {"dense_depth": 1}, {"pooling": "mean"}], ids=str)
@pytest.mark.parametrize("spec", [IDS, VECTORS], ids=["ids", "vectors"])
def test_a_text_without_tokens_has_an_answer_that_does_not_hang_on_its_length(spec: Any, settings: Any) -> None:
    encoder = bag(spec, **settings)
    nothing = encoder(torch.zeros(2, *spec.shape, dtype=torch.float64))
    assert nothing.isfinite().all()
    assert torch.equal(nothing, encoder(torch.zeros(2, 3, spec.shape[1], dtype=torch.float64)))


@pytest.mark.parametrize("spec", [IDS, VECTORS], ids=["ids", "vectors"])
def test_a_token_taken_away_is_as_if_it_were_nothing(spec: Any) -> None:
    encoder, x = bag(spec, pairs=0), rows(spec, 1).double()
    present = x[:, x[0].any(-1)]
    assert present.shape[1] < x.shape[1]
    torch.testing.assert_close(encoder(x), encoder(present))


def test_tokens_have_no_order_but_pairs_have() -> None:
    x = torch.arange(1.0, 10.0, dtype=torch.float64).view(1, 9, 1)
    alone, paired = bag(pairs=0), bag()
    torch.testing.assert_close(alone(x), alone(x.flip(1)))
    assert not torch.allclose(paired(x), paired(x.flip(1)))


def test_the_root_says_twice_what_is_said_four_times() -> None:
    """Where the mean says it once."""
    once, often = torch.full((1, 1, 1), 3.0).double(), torch.full((1, 4, 1), 3.0).double()
    root, mean = bag(pairs=0, pooling="root"), bag(pairs=0, pooling="mean")
    torch.testing.assert_close(root(often), 2 * root(once))
    torch.testing.assert_close(mean(often), mean(once))


def test_all_tokens_count_alike_at_first() -> None:
    encoder = build(TextBag, IDS, {"pairs": 0, "pooling": "mean"})
    x = torch.tensor([[[2.0], [3.0], [0.0], [4.0]]])
    assert isinstance(encoder, TextBag)
    assert encoder.tokens.embedding is not None
    torch.testing.assert_close(encoder.eval()(x)[0, 0], encoder.tokens.embedding[2:5].mean(0))


def test_accepts_texts_only() -> None:
    assert TextBag.accepts(IDS)
    assert TextBag.accepts(VECTORS)
    assert not TextBag.accepts(image_spec())


def test_ids_are_not_rounded_in_bfloat16() -> None:
    """It holds whole numbers up to 256 only."""
    encoder = build(TextBag, text_spec(1, vocabulary=5000), {"dropout": 0.0})
    x = torch.arange(4000.0, 4010.0).view(10, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(x).float()
    torch.testing.assert_close(found, encoder(x), rtol=0.02, atol=1e-4)
    assert len(found.unique(dim=0)) == 10
