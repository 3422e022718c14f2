from __future__ import annotations

import pytest
import torch

from autodl.errors import SpaceError
from autodl_fusions.tensor_product import MOST_ENTRIES, TensorProduct

TOKENS = {
    name: torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(place)) for place, name in enumerate("abc")
}
THERE = {name: torch.ones(2) for name in "abc"}


def product(count: int, width: int, order: str = "all") -> TensorProduct:
    widths = dict.fromkeys((f"input {place:03}" for place in range(count)), 2)
    return TensorProduct(widths, width=width, order=order, normalize=False, dropout=0.0)


def vectors(fusion: TensorProduct) -> list[torch.Tensor]:
    adapters = zip("abc", fusion.inputs.adapters, strict=True)
    return [adapter(TOKENS[name].mean(1)).tanh() for name, adapter in adapters]


def test_it_is_the_outer_product_of_all() -> None:
    fusion = TensorProduct(dict.fromkeys("abc", 5), width=2, order="all", normalize=False, dropout=0.0)
    a, b, c = (torch.cat((each, torch.ones(2, 1)), 1) for each in vectors(fusion))
    expected = torch.einsum("bi,bj,bk->bijk", a, b, c).flatten(1)
    assert fusion.width == 27
    torch.testing.assert_close(fusion(TOKENS, THERE), expected)


def test_pairs_stand_side_by_side() -> None:
    fusion = TensorProduct(dict.fromkeys("abc", 5), width=2, order="pairs", normalize=False, dropout=0.0)
    a, b, c = vectors(fusion)
    pairs = [torch.einsum("bi,bj->bij", *each).flatten(1) for each in ((a, b), (a, c), (b, c))]
    torch.testing.assert_close(fusion(TOKENS, THERE), torch.cat((a, b, c, *pairs), 1))


@pytest.mark.parametrize(
    ("count", "order", "entries"),
    [(2, "all", 17**2), (3, "all", 17**3), (4, "all", 8**4), (8, "all", 2**8), (12, "all", 2**12), (13, "all", 3913)],
)
def test_vectors_are_narrowed_to_what_can_be_held(count: int, order: str, entries: int) -> None:
    assert product(count, 16, order).width == entries <= MOST_ENTRIES


def test_a_hundred_inputs_are_too_many() -> None:
    assert product(99, 16).width <= MOST_ENTRIES
    with pytest.raises(SpaceError, match="100 inputs"):
        product(100, 16)


def test_a_missing_input_leaves_the_products_of_the_others() -> None:
    fusion = TensorProduct(dict.fromkeys("abc", 5), width=2, order="all", normalize=False, dropout=0.0)
    a, b, _ = (torch.cat((each, torch.ones(2, 1)), 1) for each in vectors(fusion))
    fused = fusion(TOKENS, {**THERE, "c": torch.zeros(2)}).view(2, 3, 3, 3)
    torch.testing.assert_close(fused[..., 2], torch.einsum("bi,bj->bij", a, b))
    assert not fused[..., :2].any()
