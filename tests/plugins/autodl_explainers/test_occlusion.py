from __future__ import annotations

import itertools
from dataclasses import replace

import captum.attr
import pytest
import torch
from torch import nn

from autodl.attribution import Players
from autodl_explainers.occlusion import Occlusion


@pytest.fixture
def image(question):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 6 * 4, 2)).double()
    rows, baseline = torch.randn(3, 2, 8, 6).double(), torch.randn(1, 2, 8, 6).double()
    return question(net, rows, baseline, target=1)


@pytest.mark.parametrize("stride", [0.5, 1.0, 0.3])
def test_entries_are_shares_of_the_windows_that_cover_them(image, stride):
    """A textbook's loop over windows, of 4 by 3 pixels."""
    net, rows, baseline = image.model.net, image.inputs["x"], image.baseline["x"]
    steps = [max(1, round(stride * side)) for side in (4, 3)]
    tops, lefts = (sorted({*range(0, top, step), top}) for top, step in zip((4, 3), steps, strict=True))
    total, count = torch.zeros_like(rows), torch.zeros(8, 6)
    for top, left in itertools.product(tops, lefts):
        covered = rows.clone()
        covered[:, :, top : top + 4, left : left + 3] = baseline[:, :, top : top + 4, left : left + 3]
        drop = (net(rows) - net(covered))[:, 1].detach()
        total[:, :, top : top + 4, left : left + 3] += drop.view(-1, 1, 1, 1) / (2 * 4 * 3)
        count[top : top + 4, left : left + 3] += 1
    found = Occlusion(window=0.5, stride=stride).attribute(image)
    torch.testing.assert_close(found.entries["x"], total / count)
    assert found.evaluations == 3 * (1 + len(tops) * len(lefts))


def test_windows_of_one_pixel_are_captums(image):
    net, rows, baseline = image.model.net, image.inputs["x"], image.baseline["x"]
    expected = captum.attr.Occlusion(net).attribute(rows, (2, 1, 1), 1, baselines=baseline, target=1) / 2
    found = Occlusion(window=0.01).attribute(image).entries["x"]
    torch.testing.assert_close(found, expected.to(found), rtol=1e-5, atol=1e-6)
    assert found.dtype == torch.float64


def test_a_linear_model_of_pixels_is_told_exactly(question):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    rows, baseline = torch.randn(2, 1, 4, 4).double(), torch.randn(1, 1, 4, 4).double()
    found = Occlusion(window=0.25).attribute(question(net, rows, baseline))
    expected = net[1].weight[0].detach().view(1, 4, 4) * (rows - baseline)
    torch.testing.assert_close(found.entries["x"], expected, rtol=0, atol=1e-12)
    halves = Occlusion(window=0.5, stride=1.0).attribute(question(net, rows, baseline))
    torch.testing.assert_close(halves.values.sum(1), expected.flatten(1).sum(1), rtol=0, atol=1e-12)


def test_vectors_are_covered_player_by_player(question):
    net, rows, baseline = nn.Linear(4, 1).double(), torch.randn(3, 4).double(), torch.randn(1, 4).double()
    players = Players(("a", "b"), {"x": torch.tensor([0, 1, 1, 1])})
    found = Occlusion().attribute(replace(question(net, rows, baseline), players=players))
    each = net.weight[0].detach() * (rows - baseline)
    torch.testing.assert_close(found.values, torch.stack((each[:, 0], each[:, 1:].sum(1)), 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.entries["x"][:, 1], each[:, 1:].mean(1), rtol=0, atol=1e-12)


def test_every_pixel_is_covered_whatever_the_sizes():
    for side, window, stride in itertools.product((1, 2, 5, 7, 28), (0.0, 0.1, 0.34, 1.0), (0.0, 0.25, 1.0)):
        line = Occlusion(window=window, stride=stride)._line(side)
        assert line.any(0).all()
        assert len(set(line.sum(1).tolist())) == 1
