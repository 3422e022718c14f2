from __future__ import annotations

import warnings
from dataclasses import replace

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional

from autodl_explainers.grad_cam import GradCam
from autodl_explainers.guided_grad_cam import GuidedGradCam


class Residual(nn.Module):
    """A signal that goes round a ReLU as well as through it."""

    def __init__(self):
        super().__init__()
        self.first, self.bend, self.second = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        maps = self.first(x)
        return self.head((maps + self.second(self.bend(maps))).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(functional.relu(self.first(x)).mean((2, 3)))


def pose(question, net):
    asked = question(net.eval(), torch.randn(3, 2, 8, 8), target=1)
    return replace(asked, networks=(asked.model,))


def plain(*middle):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), *middle, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    net.eval()(torch.zeros(1, 2, 8, 8))  # the last layer takes its width
    return net


@pytest.mark.parametrize("inplace", [False, True])
def test_it_is_captums_on_plain_networks(question, inplace):
    net = plain(nn.ReLU(inplace=inplace), nn.MaxPool2d(2))
    asked = pose(question, net)
    assert GuidedGradCam().objection(asked) is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it sets hooks
        method = captum.attr.GuidedGradCam(net, net[4])
        ready = asked.inputs["x"].clone().requires_grad_()
        expected = method.attribute(ready, 1, interpolate_mode="bilinear").detach()
    torch.testing.assert_close(GuidedGradCam().attribute(asked).entries["x"], expected, rtol=1e-4, atol=1e-7)


def test_a_signal_round_a_relu_is_not_cut(question):
    """Only what comes through the ReLU is: the rule applied by hand."""
    torch.manual_seed(0)
    net = Residual()
    asked = pose(question, net)
    assert GuidedGradCam().objection(asked) is None
    x = asked.inputs["x"].clone().requires_grad_()
    maps = net.first(x)
    bent = maps.relu()
    whole = net.head((maps + net.second(bent)).mean((2, 3)))[:, 1].sum()
    (from_bent,) = torch.autograd.grad(whole, bent, retain_graph=True)
    (round_it,) = torch.autograd.grad(net.head(maps.mean((2, 3)))[:, 1].sum(), maps, retain_graph=True)
    (guided,) = torch.autograd.grad(maps, x, round_it + from_bent.relu() * (maps > 0))
    where = GradCam(sign="positive").attribute(asked).entries["x"].sum(1, keepdim=True)
    torch.testing.assert_close(GuidedGradCam().attribute(asked).entries["x"], guided * where)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Functional(), "'net' (Functional)"),
        (plain(nn.GELU()), "GELU"),
        (plain(nn.LeakyReLU()), "LeakyReLU"),
        (plain(nn.GroupNorm(1, 4), nn.ReLU()), "GroupNorm"),
    ],
)
def test_whatever_bends_but_is_no_relu_is_refused_by_name(question, net, words):
    reason = GuidedGradCam().objection(pose(question, net))
    assert words in reason
    assert "nn.ReLU" in reason


def test_frozen_normalisation_and_dropout_are_no_hindrance(question):
    net = plain(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    assert GuidedGradCam().objection(pose(question, net)) is None


def test_no_hook_is_left_behind(question):
    asked = pose(question, plain(nn.ReLU()))
    GuidedGradCam().attribute(asked)
    assert not any(layer._forward_hooks for layer in asked.model.modules())
