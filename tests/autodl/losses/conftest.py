"""Class indices, logits and settings of three members, and the rows behind them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autodl.records import Task


@pytest.fixture
def regression():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 3, 7, 1, generator=generator, dtype=torch.float64) * 2
    return SimpleNamespace(outputs=outputs, targets=targets.squeeze(-1))


@pytest.fixture(params=[2, 5], ids=["binary", "multiclass"])
def classes(request):
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([40, 10] if request.param == 2 else [50, 20, 5, 0, 1])
    outputs = torch.randn(3, 9, request.param, generator=generator, dtype=torch.float64) * 3
    task = Task("y", "binary" if request.param == 2 else "multiclass", tuple("abcde"[: request.param]))
    targets = torch.arange(27).view(3, 9) % request.param
    return SimpleNamespace(outputs=outputs, targets=targets, counts=counts, task=task)


@pytest.fixture
def several():
    """Three members, seven rows, four targets each."""
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 3, 7, 4, generator=generator, dtype=torch.float64) * 2
    return SimpleNamespace(outputs=outputs, targets=targets, labels=(targets > 0).double())


@pytest.fixture
def column():
    return lambda *values: torch.tensor(values, dtype=torch.float64).unsqueeze(1)
