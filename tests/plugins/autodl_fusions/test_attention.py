from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl_fusions._attention import Block


@pytest.mark.parametrize(("width", "heads"), [(16, 4), (6, 2), (5, 1)])
def test_a_block_is_what_torchs_own_layers_make(width: int, heads: int) -> None:
    block, x = Block(width, dropout=0.0).double(), torch.randn(3, 7, width, dtype=torch.float64)
    attention = nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.query.weight, block.key.weight, block.value.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.query.bias, torch.zeros(width), block.value.bias]))
        attention.out_proj.load_state_dict(block.out.state_dict())
    normed = nn.functional.layer_norm(x, (width,))
    y = x + attention(normed, normed, normed, need_weights=False)[0]
    _, first, _, _, second = block.perceptron
    hidden = nn.functional.gelu(first(nn.functional.layer_norm(y, (width,))))
    torch.testing.assert_close(block(x, count=7), y + second(hidden))


def test_the_first_tokens_are_the_same_when_no_others_are_wanted() -> None:
    block, x = Block(8, dropout=0.0), torch.randn(2, 5, 8)
    torch.testing.assert_close(block(x, count=2), block(x, count=5)[:, :2])
