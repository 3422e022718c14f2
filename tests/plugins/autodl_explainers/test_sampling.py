from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.attribution import Players
from autodl_explainers._sampling import averaged

PLAYERS = Players(("a", "b"), {"x": torch.tensor([0, 1, 1])})


@given(st.integers(2, 40), st.integers(0, 1000), st.sampled_from([0.0, 1e3]))
def test_means_and_errors_are_the_textbooks(count, seed, far):
    draws = torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + far
    entries, values, error = averaged(({"x": each} for each in draws), PLAYERS)
    pooled = torch.stack([draws[..., 0], draws[..., 1] + draws[..., 2]], -1)
    torch.testing.assert_close(entries["x"], draws.mean(0))
    torch.testing.assert_close(values, pooled.mean(0))
    torch.testing.assert_close(error, pooled.std(0) / count**0.5, rtol=1e-9, atol=1e-12)


def test_one_draw_has_no_error_to_tell():
    assert averaged([{"x": torch.ones(2, 3)}], PLAYERS)[2].isnan().all()
