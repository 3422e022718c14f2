from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.layout import ParameterLayout


class TestParameterLayout:
    @given(
        shapes=st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5),
        members=st.integers(1, 3),
    )
    def test_every_parameter_is_found_in_the_flat_matrix(self, shapes: list[tuple[int, ...]], members: int) -> None:
        parameters = [torch.randn(members, *shape) for shape in shapes]
        sizes = [math.prod(shape) for shape in shapes]
        offsets = tuple(sum(sizes[:i]) for i in range(len(sizes)))
        layout = ParameterLayout(tuple(map(str, sizes)), tuple(shapes), offsets, (True,) * len(shapes))
        flat = torch.cat([parameter.reshape(members, -1) for parameter in parameters], dim=1)
        for index, parameter in enumerate(parameters):
            assert torch.equal(layout.view(flat, index), parameter)

    def test_a_view_shares_memory(self) -> None:
        layout = ParameterLayout(("bias", "weight"), ((2,), (2, 2)), (0, 2), (False, True))
        flat = torch.zeros(2, 6)
        layout.view(flat, 1)[1].fill_(7)
        assert flat.tolist() == [[0.0] * 6, [0.0, 0.0, 7.0, 7.0, 7.0, 7.0]]
