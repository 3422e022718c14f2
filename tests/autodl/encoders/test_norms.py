from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from autodl.encoders._norms import groups, map_norm, vector_norm


def test_none_is_no_module_at_all() -> None:
    assert vector_norm("none", 8) == []
    assert map_norm("none", 8) == []


def test_layer_norm_of_a_row() -> None:
    (norm,) = vector_norm("layer", 5)
    x = torch.randn(3, 5, dtype=torch.float64)
    expected = torch.stack([(row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() for row in x])
    torch.testing.assert_close(norm.double()(x), expected)


def test_rms_norm_of_a_row() -> None:
    (norm,) = vector_norm("rms", 5)
    x = torch.randn(3, 5, dtype=torch.float64)
    norm.double().weight.data.copy_(torch.arange(5))
    expected = torch.stack([row / (row.square().mean() + 1e-6).sqrt() * torch.arange(5) for row in x])
    torch.testing.assert_close(norm(x), expected)


def test_rms_norm_does_not_warn_under_autocast() -> None:
    network = nn.Sequential(nn.Linear(4, 4), *vector_norm("rms", 4))
    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
        warnings.simplefilter("error")
        assert network(torch.randn(2, 4)).isfinite().all()


def test_group_norm_of_maps() -> None:
    (norm,) = map_norm("group", 8)
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    expected = torch.empty_like(x)
    for row in range(2):
        for start in (0, 4):  # two groups of four maps
            part = x[row, start : start + 4]
            expected[row, start : start + 4] = (part - part.mean()) / (part.var(unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(norm.double()(x), expected)


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (10, 2), (16, 4), (20, 5), (32, 8), (512, 8)]
)
def test_groups_share_channels_evenly(channels: int, expected: int) -> None:
    assert groups(channels) == expected
    assert channels % expected == 0
