from __future__ import annotations

from dataclasses import replace

import captum.attr
import pytest
import torch
from torch import nn

from autodl_explainers import _captum


@pytest.fixture
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))


@pytest.fixture
def asked(question, net):
    return question(net, torch.randn(9, 6), torch.randn(1, 6), target=2)


@pytest.mark.parametrize("memory", [1, 2**14, 2**26])
def test_the_numbers_are_captums_own(asked, net, memory):
    """Whatever the memory: rows, and even the steps of one row, are then cut up."""
    rows, baseline = asked.inputs["x"], asked.baseline["x"]
    asked = replace(asked, memory=memory)
    ready = rows.clone().requires_grad_()
    signed = captum.attr.Saliency(net).attribute(ready, target=2, abs=False)
    product = captum.attr.InputXGradient(net).attribute(ready, target=2).detach()
    way = captum.attr.IntegratedGradients(net).attribute(rows, baseline, target=2, n_steps=50)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(_captum.saliency(asked, signed=True)["x"], signed, **close)
    torch.testing.assert_close(_captum.saliency(asked, signed=False)["x"], signed.abs(), **close)
    torch.testing.assert_close(_captum.input_x_gradient(asked)["x"], product, **close)
    torch.testing.assert_close(_captum.integrated_gradients(asked, 50)["x"], way, **close)


def test_double_precision_stays(question, net):
    asked = question(net.double(), torch.randn(3, 6).double())
    assert _captum.integrated_gradients(asked, 8)["x"].dtype == torch.float64
    assert _captum.saliency(asked, signed=True)["x"].dtype == torch.float64


def test_inputs_go_in_sorted_order_whatever_the_order_of_the_dictionary(asked):
    class Two(nn.Module):
        def forward(self, inputs):
            return (inputs["z"][:, :1] * 2 + inputs["a"].sum((1, 2)).unsqueeze(1)).expand(-1, 3)

    inputs = {"z": torch.randn(4, 2), "a": torch.randn(4, 3, 5)}
    baseline = {name: torch.zeros_like(x[:1]) for name, x in inputs.items()}
    found = _captum.integrated_gradients(replace(asked, model=Two(), inputs=inputs, baseline=baseline), 4)
    torch.testing.assert_close(found["z"], inputs["z"] * torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(found["a"], inputs["a"])


def test_neither_weights_nor_hooks_are_left_behind(asked, net):
    before = [(each.requires_grad, each.grad) for each in net.parameters()]
    _captum.integrated_gradients(asked, 4)
    assert [(each.requires_grad, each.grad) for each in net.parameters()] == before
    assert not any(each._forward_hooks or each._backward_hooks for each in net.modules())
