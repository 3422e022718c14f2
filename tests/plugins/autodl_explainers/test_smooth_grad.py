from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl_explainers.saliency import Saliency
from autodl_explainers.smooth_grad import BASES, SmoothGrad


def asked_about(question, net):
    torch.manual_seed(2)
    background = torch.randn(40, 4).double() * torch.tensor([1.0, 2.0, 0.0, 1.0]).double()
    return question(net.double(), torch.randn(3, 4).double(), background[:1] * 0, background=background)


@pytest.mark.parametrize("base", BASES)
def test_a_linear_model_is_not_blurred(question, base):
    """Gradients are the same everywhere; products with the noise average out to what the error says."""
    asked = asked_about(question, nn.Linear(4, 1))
    found = SmoothGrad(base=base, samples=400).attribute(asked)
    weights = asked.model.net.weight[0].detach()
    expected = weights.abs().expand(3, 4) if base == "saliency" else weights * asked.inputs["x"]
    assert ((found.values - expected).abs() <= 4 * found.standard_error + 1e-6).all()


def test_no_noise_is_the_base_itself(question):
    asked = asked_about(question, nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)))
    found = SmoothGrad(noise=0.0).attribute(asked)
    torch.testing.assert_close(found.values, Saliency().attribute(asked).values)
    assert found.standard_error.max() < 1e-12


def test_noise_follows_each_entrys_spread(question):
    """An entry that never varies gets none: its square's gradient then stays what it is."""

    class Squares(nn.Module):
        def forward(self, x):
            return x.square().sum(1, keepdim=True)

    asked = asked_about(question, Squares())
    error = SmoothGrad(base="input_x_gradient", samples=50).attribute(asked).standard_error
    assert (error[:, 2] < 1e-12).all()
    assert (error[:, [0, 1, 3]] > 1e-3).all()


def test_a_single_background_row_tells_no_spread(question):
    asked = asked_about(question, nn.Linear(4, 1))
    single = {"x": asked.background["x"][:1]}
    assert "single row" in SmoothGrad().objection(replace(asked, background=single))
    assert SmoothGrad().objection(asked) is None
