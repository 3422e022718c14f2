from __future__ import annotations

from dataclasses import replace

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional

from autodl_explainers.grad_cam import GradCam


def convolutions(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 3)
    )


class Mean(nn.Module):
    """An ensemble: several networks in one module."""

    def __init__(self, *networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs):
        return torch.stack([each(inputs["x"]) for each in self.networks]).softmax(-1).mean(0)


@pytest.mark.parametrize("sign", ["both", "positive"])
def test_it_is_captums_blown_up(question, sign):
    net, rows = convolutions(0), torch.randn(3, 2, 8, 8)
    asked = question(net, rows, target=1)
    expected = captum.attr.LayerGradCam(net, net[4]).attribute(rows, 1, relu_attributions=sign == "positive").detach()
    expected = functional.interpolate(expected, size=(8, 8), mode="bilinear")
    found = GradCam(sign=sign).attribute(replace(asked, networks=(asked.model,)))
    torch.testing.assert_close(found.entries["x"].sum(1, keepdim=True), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.entries["x"][:, 0], found.entries["x"][:, 1])


def test_every_network_of_an_ensemble_has_its_part(question):
    """By the chain rule: the gradient of the ensemble towards each network's maps."""
    first, second = convolutions(0), convolutions(1)
    ensemble, rows = Mean(first, second).eval(), torch.randn(3, 2, 8, 8)
    asked = replace(question(nn.Identity(), rows, target=2), model=ensemble, networks=(first, second))
    maps = [net[:5](rows).detach().requires_grad_() for net in (first, second)]
    answers = torch.stack([net[5:](each) for net, each in zip((first, second), maps, strict=True)])
    slopes = torch.autograd.grad(answers.softmax(-1).mean(0)[:, 2].sum(), maps)
    weighed = [(s.mean((2, 3), keepdim=True) * m).sum(1, keepdim=True) for s, m in zip(slopes, maps, strict=True)]
    expected = functional.interpolate(sum(weighed).detach(), size=(8, 8), mode="bilinear")
    found = GradCam().attribute(asked)
    torch.testing.assert_close(found.entries["x"].sum(1, keepdim=True), expected)


def test_an_ensemble_with_a_member_that_has_no_maps_is_refused_by_number(question):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    nets = (convolutions(0), flat)
    asked = replace(question(nn.Identity(), torch.randn(3, 2, 8, 8)), model=Mean(*nets), networks=nets)
    assert "network 2 of 2" in GradCam().objection(asked)
