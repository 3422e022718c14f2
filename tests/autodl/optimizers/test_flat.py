from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from autodl.contracts import ParameterLayout
from autodl.optimizers._flat import FlatOptimizer, decay_mask

SHAPES = ((2, 2), (3,), (1, 1, 2), ())
OFFSETS = (0, 4, 7, 9)
DECAYS = [1.0] * 4 + [0.0] * 3 + [1.0] * 2 + [0.0]


class Still(FlatOptimizer):
    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        return {}

    def update(self, *arguments: Any) -> None:
        pass


def layout(shapes: tuple[tuple[int, ...], ...] = SHAPES, offsets: tuple[int, ...] = OFFSETS) -> ParameterLayout:
    return ParameterLayout(tuple(f"p{i}" for i in range(len(shapes))), shapes, offsets, (False,) * len(shapes))


def test_parameters_of_at_least_two_axes_decay_and_no_others() -> None:
    """Whether they count as hidden does not matter."""
    assert decay_mask(layout()).tolist() == [DECAYS]


def test_the_order_of_parameters_is_that_of_their_places() -> None:
    assert decay_mask(layout(((3,), (1, 2)), (2, 0))).tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0]]


def test_no_parameters_give_an_empty_mask() -> None:
    assert decay_mask(layout((), ())).shape == (1, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constants_have_the_precision_of_the_parameters_and_fit_beside_them(dtype: torch.dtype) -> None:
    found = Still(layout()).constants(torch.zeros(3, 10, dtype=dtype))
    assert {found.one.dtype, found.epsilon.dtype, found.decays.dtype} == {dtype}
    assert (found.one.tolist(), found.decays.tolist()) == ([[1.0]], [DECAYS])
    assert found.epsilon.item() == torch.tensor(1e-8, dtype=dtype).item()
    assert found.epsilon.shape == (1, 1)


def test_constants_are_made_once_for_each_precision() -> None:
    optimizer = Still(layout())
    first = optimizer.constants(torch.zeros(3, 10))
    double = optimizer.constants(torch.zeros(3, 10, dtype=torch.float64))
    assert optimizer.constants(torch.ones(1, 10)) is first
    assert double is not first


def test_optimizers_do_not_share_constants() -> None:
    like = torch.zeros(1, 5)
    one, other = Still(layout(((5,),), (0,))), Still(layout(((5, 1),), (0,)))
    assert one.constants(like).decays.sum() == 0
    assert other.constants(like).decays.sum() == 5
