from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl_explainers import _layers


@pytest.fixture
def asked(question):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    asked = question(net, torch.randn(3, 6))
    return replace(asked, networks=(asked.model,))


def test_layers_are_counted_from_the_output_and_norms_are_not_counted(asked):
    assert _layers.hidden(asked, 1)[0].path == "net.5"
    assert _layers.hidden(asked, 2)[0].path == "net.3"
    assert _layers.hidden(asked, 3) == [None]


def test_networks_of_an_ensemble_are_told_apart(asked):
    first, second = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2)), asked.model.net

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([first, second])

        def forward(self, inputs):
            return sum(part(inputs["x"]) for part in self.parts)

    places = _layers.hidden(replace(asked, model=Sum(), networks=(first, second)), 1)
    assert [each.path for each in places] == ["network 1: 1", "network 2: 5"]
    both = replace(asked, model=Sum(), networks=(first, second))
    assert not _layers.way_round(both, places)
    assert _layers.way_round(both, places[:1])
    assert _layers.names(both, places)[2:4] == ("network 1: 1[2]", "network 2: 5[0]")


def test_what_enters_and_its_gradient(asked):
    place = _layers.hidden(asked, 1)[0]
    rows = asked.inputs["x"].clone().requires_grad_()
    units, slopes = _layers.entering(asked, [place], (rows,))
    torch.testing.assert_close(units[0], asked.model.net[:5](rows).detach())
    torch.testing.assert_close(slopes[0], asked.model.net[5].weight[0].detach().expand(3, 4))
    assert not any(layer._forward_pre_hooks for layer in asked.model.modules())
