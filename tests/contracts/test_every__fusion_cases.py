from __future__ import annotations

import pytest
import torch

from autodl.testing._fusion_cases import SIGNS, TARGETS, interaction, interaction_share, leaves


def test_a_product_is_all_interaction_and_a_sum_none() -> None:
    assert interaction_share(TARGETS["xor"].view(2, 2)) == pytest.approx(1)
    assert interaction_share(TARGETS["sum"].view(2, 2)) == pytest.approx(0)
    assert interaction_share((3 * SIGNS[0] + 4 * SIGNS[0] * SIGNS[1] + 7).view(2, 2)) == pytest.approx(16 / 25)


def test_what_is_left_is_orthogonal_to_every_sum() -> None:
    table = torch.randn(5, 4, dtype=torch.float64)
    left = interaction(table)
    additive = torch.randn(5, 1, dtype=torch.float64) + torch.randn(1, 4, dtype=torch.float64)
    assert float((left * additive).sum()) == pytest.approx(0, abs=1e-12)


def test_leaves_are_all_that_learns() -> None:
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    fixed, idle = torch.ones(2), torch.ones(2, requires_grad=True)
    found = {id(leaf) for leaf in leaves((first * second + first * fixed).sum())}
    assert found == {id(first), id(second)}
    assert id(idle) not in found
