from __future__ import annotations

import torch
from torch import nn

from autodl_explainers.input_x_gradient import InputXGradient


def test_it_is_complete_for_a_relu_network_without_biases(question):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 2, bias=False)).double()
    rows = torch.randn(5, 6).double()
    found = InputXGradient().attribute(question(net, rows, target=1))
    torch.testing.assert_close(found.values.sum(1), net(rows)[:, 1].detach(), rtol=0, atol=1e-12)


def test_inputs_may_be_counted_from_the_baseline(question):
    net, rows, baseline = nn.Linear(6, 1), torch.randn(5, 6), torch.randn(1, 6)
    found = InputXGradient(origin="baseline").attribute(question(net, rows, baseline))
    torch.testing.assert_close(found.values, net.weight[0].detach() * (rows - baseline))
