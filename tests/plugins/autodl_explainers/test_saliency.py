from __future__ import annotations

import torch
from torch import nn

from autodl.attribution import Players
from autodl_explainers.saliency import Saliency


def test_a_linear_model_shows_its_weights(question):
    net, rows = nn.Linear(6, 2), torch.randn(4, 6)
    weights = net.weight[1].detach()
    torch.testing.assert_close(Saliency().attribute(question(net, rows, target=1)).values, weights.abs().expand(4, 6))
    signed = Saliency(signed=True).attribute(question(net, rows, target=1))
    torch.testing.assert_close(signed.entries["x"], weights.expand(4, 6))


def test_players_get_the_sum_of_their_entries(question):
    from dataclasses import replace

    asked = question(nn.Linear(6, 2), torch.randn(4, 6))
    found = Saliency().attribute(replace(asked, players=Players(("a", "b"), {"x": torch.tensor([0, 0, 0, 1, 1, 1])})))
    torch.testing.assert_close(found.values[:, 1], found.entries["x"][:, 3:].sum(1))
