from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl_fusions._inputs import Inputs, norm, pooled

TOKENS = {"photo": torch.arange(24.0).view(2, 3, 4), "table": torch.ones(2, 1, 5)}
WIDTHS = {"table": 5, "photo": 4}
BOTH = {"photo": torch.ones(2), "table": torch.ones(2)}


def test_inputs_come_in_sorted_order_as_their_mean_tokens() -> None:
    photo, table = Inputs(WIDTHS, normalize=False)(TOKENS, BOTH)
    assert torch.equal(photo, TOKENS["photo"].mean(1, keepdim=True))
    assert torch.equal(table, TOKENS["table"])


def test_a_common_width_is_that_of_a_linear_map_of_each() -> None:
    inputs = Inputs(WIDTHS, normalize=False, width=7, tokens=3)
    photo, table = inputs(TOKENS, BOTH)
    assert (photo.shape, table.shape, inputs.sizes) == ((2, 3, 7), (2, 1, 7), [7, 7])
    layer = inputs.adapters[0]
    assert isinstance(layer, nn.Linear)
    torch.testing.assert_close(photo, TOKENS["photo"] @ layer.weight.T + layer.bias)


def test_each_token_of_a_missing_input_is_its_learned_vector() -> None:
    inputs = Inputs(WIDTHS, normalize=True, tokens=3)
    with torch.no_grad():
        inputs.missing[0].copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    photo, table = inputs(TOKENS, {"photo": torch.tensor([0.0, 1.0]), "table": torch.tensor([1.0, 0.0])})
    assert photo[0].tolist() == [[1.0, 2.0, 3.0, 4.0]] * 3
    assert photo[1].sum(-1).abs().max() < 1e-5
    assert table[1].tolist() == [[0.0] * 5]


@pytest.mark.parametrize(("width", "kind"), [(1, nn.Identity), (3, nn.Identity), (4, nn.LayerNorm)])
def test_few_numbers_are_not_normalized_away(width: int, kind: type[nn.Module]) -> None:
    assert isinstance(norm(width), kind)
    assert isinstance(norm(width, normalize=False), nn.Identity)


def test_neighbours_are_averaged_where_there_are_too_many_tokens() -> None:
    tokens = torch.arange(12.0).view(1, 6, 2)
    assert pooled(tokens, 6) is tokens
    assert pooled(tokens, 3).tolist() == [[[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]]
    assert pooled(tokens, 1).tolist() == [[[5.0, 6.0]]]
