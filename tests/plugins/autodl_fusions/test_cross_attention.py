from __future__ import annotations

import torch

from autodl_fusions.cross_attention import CrossAttention

TOKENS = {"photo": torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)), "table": torch.ones(3, 1, 5)}
BOTH = {"photo": torch.ones(3), "table": torch.ones(3)}


def attention(depth: int = 2) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention({"photo": 6, "table": 5}, width=8, depth=depth, normalize=True, dropout=0.0)


def test_it_reads_the_learned_token_of_a_transformer_over_all_tokens() -> None:
    fusion = attention()
    x = torch.cat((fusion.reader.expand(3, 1, 8), *fusion.inputs(TOKENS, BOTH)), 1)
    for block in fusion.blocks:
        x = block(x, count=6)
    torch.testing.assert_close(fusion(TOKENS, BOTH), fusion.even(x[:, 0]))


def test_the_order_of_an_inputs_tokens_is_not_heeded_but_whose_they_are_is() -> None:
    fusion = attention()
    turned = {**TOKENS, "photo": TOKENS["photo"].flip(1)}
    torch.testing.assert_close(fusion(turned, BOTH), fusion(TOKENS, BOTH))
    twins = CrossAttention({"a": 6, "b": 6}, width=8, depth=1, normalize=True, dropout=0.0)
    twins.inputs.adapters[1].weight = twins.inputs.adapters[0].weight  # biases alone tell one from the other
    one, other = TOKENS["photo"][:, :1], TOKENS["photo"][:, 1:2]
    there = {"a": torch.ones(3), "b": torch.ones(3)}
    assert not torch.allclose(twins({"a": one, "b": other}, there), twins({"a": other, "b": one}, there), atol=1e-4)


def test_what_is_joined_depends_on_single_tokens_and_not_on_their_mean_alone() -> None:
    fusion = attention(depth=1)
    flat = {**TOKENS, "photo": TOKENS["photo"].mean(1, keepdim=True).expand(-1, 4, -1)}
    assert not torch.allclose(fusion(flat, BOTH), fusion(TOKENS, BOTH), atol=1e-4)
