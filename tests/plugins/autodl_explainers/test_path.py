from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl_explainers._path import PIECES, Pieces, _worst, refined


@pytest.fixture
def kinked(question):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 60), nn.ReLU(), nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 2)).double()
    return question(net, 3 * torch.randn(5, 4).double())


def test_it_meets_what_is_allowed_with_fewer_gradients_than_even_steps(kinked):
    entries, pieces, asked = refined(kinked, 1e-3, 512)
    net = kinked.model.net
    whole = (net(kinked.inputs["x"]) - net(kinked.baseline["x"]))[:, 0].detach()
    assert ((entries["x"].sum(1) - whole).abs() <= 1e-3 * whole.abs()).all()
    assert (pieces >= PIECES).all()
    assert (pieces <= 512).all()
    assert asked >= int(pieces.sum())


def test_it_agrees_with_very_many_even_steps(kinked):
    found = refined(kinked, 1e-5, 5000)[0]["x"]
    places = (torch.arange(20_000).double() + 0.5) / 20_000
    for row, mine in zip(kinked.inputs["x"], found, strict=True):
        along = (places.unsqueeze(1) * row).requires_grad_()
        (slopes,) = torch.autograd.grad(kinked.model.net(along)[:, 0].sum(), along)
        torch.testing.assert_close(mine, slopes.mean(0) * row, rtol=0, atol=2e-3)


def test_memory_decides_nothing(kinked):
    some, more = (refined(replace(kinked, memory=memory), 1e-3, 512)[0]["x"] for memory in (2**12, 2**26))
    torch.testing.assert_close(some, more, rtol=1e-9, atol=1e-9)


def test_a_row_ends_when_its_gradients_are_spent(kinked):
    assert refined(kinked, 0.0, 64)[1].max() <= 64


def test_the_worst_make_up_half_and_no_row_gets_more_than_is_left():
    row = torch.tensor([0, 1, 0, 0, 1, 2])
    missed = torch.tensor([1.0, -5.0, 4.0, -2.0, 4.0, 9.0])
    pieces = Pieces(row, *(torch.zeros(6),) * 5, missed)
    wanting, left = torch.tensor([True, True, False]), torch.tensor([9, 9, 9])
    assert _worst(pieces, wanting, left).tolist() == [False, True, True, False, False, False]
    assert _worst(pieces, wanting, torch.tensor([0, 9, 9])).tolist() == [False, True, False, False, False, False]
