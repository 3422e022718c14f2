from __future__ import annotations

from dataclasses import replace

import captum.attr
import pytest
import torch
from torch import nn

from autodl.errors import ExplanationError
from autodl.explaining.ask import ask
from autodl_explainers.layer_conductance import LayerConductance


class Block(nn.Module):
    """A residual network: a path leads round the layer inside."""

    def __init__(self):
        super().__init__()
        self.first, self.inside, self.bend, self.out, self.head = (
            nn.Linear(6, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2),
        )  # fmt: skip

    def forward(self, x):
        stream = self.first(x)
        return self.head(stream + self.out(self.bend(self.inside(stream))))


def pose(question, net, rows=None, **changes):
    asked = question(net.double(), torch.randn(5, 6).double() if rows is None else rows, target=1)
    return replace(asked, networks=(asked.model,), **changes)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 2))


@pytest.mark.parametrize("memory", [1, 2**26])
def test_the_last_layer_sums_exactly(question, net, memory):
    asked = pose(question, net, memory=memory)
    found = LayerConductance().attribute(asked)
    whole = (net(asked.inputs["x"]) - net(asked.baseline["x"]))[:, 1].detach()
    torch.testing.assert_close(found.found["conductance"].sum(1), whole, rtol=0, atol=1e-12)
    assert found.found["names"] == tuple(f"net.4[{unit}]" for unit in range(7))
    assert found.found["layer"] == ("net.4",)
    assert found.values.shape == (5, 0)


def test_an_inner_layer_sums_nearly_and_is_captums_in_the_limit(question, net):
    asked = pose(question, net)
    found = LayerConductance(layer=2).attribute(asked).found["conductance"]
    whole = (net(asked.inputs["x"]) - net(asked.baseline["x"]))[:, 1].detach()
    assert ((found.sum(1) - whole).abs() <= 0.01 * whole.abs()).all()
    fine = captum.attr.LayerConductance(net, net[1]).attribute(asked.inputs["x"], target=1, n_steps=1500).detach()
    mine = LayerConductance(layer=2, steps=1500).attribute(asked).found["conductance"]
    torch.testing.assert_close(mine, fine, rtol=0.02, atol=0.01)


def test_conductance_is_integrated_gradients_of_a_layer_that_hands_on(question):
    """Of a network without a bend before the layer: weights times differences."""
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    asked = pose(question, net)
    units = (net[0](asked.inputs["x"]) - net[0](asked.baseline["x"])).detach()
    found = LayerConductance().attribute(asked).found["conductance"]
    torch.testing.assert_close(found, units * net[1].weight[1].detach())


def test_a_path_round_the_layer_is_refused_and_the_layer_after_it_is_not(question):
    asked = pose(question, Block())
    assert "a path leads round layer 'net.out'" in LayerConductance(layer=2).objection(asked)
    with pytest.raises(ExplanationError, match="residual block"):
        ask(LayerConductance(layer=2), asked, (1,))
    assert LayerConductance(layer=1).objection(asked) is None


def test_a_network_without_hidden_layers_is_refused(question):
    assert "fewer than 1 hidden" in LayerConductance().objection(pose(question, nn.Linear(6, 2)))
