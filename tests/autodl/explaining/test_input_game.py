from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import pytest
import torch
from torch import Tensor

from autodl.errors import ExplanationError
from autodl.explaining._input_game import (
    ROWS_AT_ONCE,
    answered,
    coalitions,
    interactions,
    joined,
    shapley_values,
    shares,
)

GROUPS = {"left": ["left-1"], "right": ["right-1", "right-2"]}


def signs(rows: int) -> dict[str, Tensor]:
    """Two inputs of one sign each; the second has two views, of which the last is of no use."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 2, (2, rows), generator=generator).float() * 2 - 1
    right = drawn[1].view(-1, 1, 1).expand(-1, 2, 3).clone()
    return {"left-1": drawn[0].view(-1, 1), "right-1": right, "right-2": torch.randn(rows, 4, generator=generator)}


def read(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both signs; 0 of an input that is missing, which all its views must be at once."""
    gone = inputs["right-1"].isnan().flatten(1).all(1)
    assert torch.equal(gone, inputs["right-2"].isnan().all(1))
    return inputs["left-1"][:, 0].nan_to_num(0.0), inputs["right-1"][:, 0, 0].nan_to_num(0.0)


def total(inputs: Mapping[str, Tensor]) -> Tensor:
    left, right = read(inputs)
    return (3 * left + 2 * right).unsqueeze(1)


def test_every_set_of_inputs_is_asked_in_binary_order() -> None:
    inputs = signs(4)
    worths = coalitions(total, inputs, GROUPS)
    assert worths.shape == (4, 4, 1)
    assert worths.dtype == torch.float64
    left, right = read(inputs)
    for place, logit in enumerate((0 * left, 3 * left, 2 * right, 3 * left + 2 * right)):
        torch.testing.assert_close(worths[place], logit.double().unsqueeze(1))


def test_too_many_inputs_are_for_the_caller_to_join() -> None:
    groups = {f"photo {place}": [f"k{place}"] for place in range(6)} | {"table": ["t"]}
    with pytest.raises(ExplanationError, match=r"1 to 6 inputs .* there are 7; join some"):
        coalitions(total, {}, groups)
    fewer = joined(groups, {name: name.split()[0] for name in groups})
    assert fewer == {"photo": [f"k{place}" for place in range(6)], "table": ["t"]}
    assert joined(GROUPS, {}) == GROUPS


def test_values_are_the_mean_over_all_orders() -> None:
    """The definition, written out."""
    worths = torch.randn(16, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(4, 3, 2, dtype=torch.float64)
    for order in permutations(range(4)):
        there = 0
        for player in order:
            expected[player] += (worths[there | 1 << player] - worths[there]) / 24
            there |= 1 << player
    found = shapley_values(worths)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(0), worths[-1] - worths[0])


def test_interactions_are_how_values_change_with_the_other() -> None:
    """Grabisch and Roubens: the value of one where the other is always there, less that where it never is."""
    worths = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = interactions(worths)
    a, b, other = 0, 2, 1
    there = torch.stack([worths[(s & 1) | (s >> 1) << other | 1 << b] for s in range(4)])
    gone = torch.stack([worths[(s & 1) | (s >> 1) << other] for s in range(4)])
    torch.testing.assert_close(found[a, b], shapley_values(there)[0] - shapley_values(gone)[0])
    torch.testing.assert_close(found, found.transpose(0, 1))
    assert not found[range(3), range(3)].any()


def test_shares_are_of_sizes_and_alike_where_there_is_nothing() -> None:
    values = torch.tensor([[[3.0, -3.0], [0.0, 0.0]], [[-1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    assert shares(values).tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_rows_are_asked_some_at_a_time_and_are_left_as_they_were() -> None:
    x = torch.arange(2.0 * ROWS_AT_ONCE + 5).unsqueeze(1)
    sizes: list[int] = []

    def model(inputs: dict[str, Tensor]) -> Tensor:
        sizes.append(len(inputs["a"]))
        return inputs["a"].mul_(2)

    found = answered(model, {"a": x})
    assert sizes == [ROWS_AT_ONCE, ROWS_AT_ONCE, 5]
    assert torch.equal(found, 2 * x.double())
    assert x[-1] == 2 * ROWS_AT_ONCE + 4
    again = answered(model, {"a": x}, {"a": torch.tensor([3, 3, 0])})
    assert again[:, 0].tolist() == [6, 6, 0]
