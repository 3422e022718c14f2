from __future__ import annotations

import torch
from torch import nn

from autodl_fusions.low_rank import LowRank

TOKENS = {
    name: torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(place)) for place, name in enumerate("abc")
}
THERE = {name: torch.ones(3) for name in "abc"}


def low_rank(count: int = 3) -> LowRank:
    torch.manual_seed(0)
    return LowRank(dict.fromkeys("abcdefgh"[:count], 5), width=6, rank=4, normalize=False, dropout=0.0)


def test_it_is_the_outer_product_seen_through_a_tensor_of_low_rank() -> None:
    """The tensor of all [h; 1] and the weights of every entry, both built in full."""
    fusion = low_rank()
    full, weights = torch.ones(3, 1), torch.ones(4, 1, 6)
    for name, factor in zip("abc", fusion.inputs.adapters, strict=True):
        assert isinstance(factor, nn.Linear)
        one = torch.cat((TOKENS[name].mean(1), torch.ones(3, 1)), 1)
        full = torch.einsum("bi,bj->bij", full, one).flatten(1)
        both = torch.cat((factor.weight, factor.bias.unsqueeze(1)), 1).view(4, 6, 6)  # rank width entry
        weights = torch.einsum("rik,rkj->rijk", weights, both).flatten(1, 2)
    product = torch.einsum("bi,r,rik->bk", full, fusion.mix, weights)
    torch.testing.assert_close(fusion(TOKENS, THERE), nn.functional.layer_norm(product, (6,)), rtol=1e-4, atol=1e-5)


def test_a_missing_input_is_left_out_of_the_product_at_first() -> None:
    fusion, two = low_rank(), low_rank(2)
    two.load_state_dict({name: fusion.state_dict()[name] for name in two.state_dict()})
    torch.testing.assert_close(fusion(TOKENS, {**THERE, "c": torch.zeros(3)}), two(TOKENS, THERE))


def test_factors_learn() -> None:
    names = {name for name, _ in low_rank().named_parameters()}
    assert {f"inputs.adapters.{place}.{part}" for place in range(3) for part in ("weight", "bias")} <= names
