from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from autodl_explainers import _captum
from autodl_explainers.gradient_shap import GradientShap


def test_a_linear_model_is_exact_when_every_background_row_had_as_many_turns(question):
    net, rows, background = nn.Linear(6, 1).double(), torch.randn(3, 6).double(), torch.randn(5, 6).double()
    asked = question(net, rows, background[:1], background=background)
    found = GradientShap(samples=20).attribute(asked)
    expected = net.weight[0].detach() * (rows - background.mean(0))
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.base, net(background).mean().detach())


def test_standard_errors_cover_the_limit(question):
    """The limit is the mean of integrated gradients over the background."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    rows, background = torch.randn(20, 4).double(), torch.randn(6, 4).double()
    asked = question(net, rows, background[:1], background=background)
    parts = [_captum.integrated_gradients(replace(asked, baseline={"x": each[None]}), 64)["x"] for each in background]
    exact = torch.stack(parts).mean(0)
    found = GradientShap(samples=400).attribute(asked)
    off = (found.values - exact).abs() / found.standard_error
    assert off.max() < 4.5
    assert off.mean() > 0.1
    more = GradientShap(samples=6400).attribute(asked)
    assert (more.values - exact).norm() < 0.6 * (found.values - exact).norm()


def test_another_seed_draws_another_way(question):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    asked = question(net, torch.randn(2, 4), background=torch.randn(3, 4))
    first, second = (GradientShap(samples=9).attribute(replace(asked, seed=seed)).values for seed in (0, 1))
    assert not torch.equal(first, second)
