from __future__ import annotations

from dataclasses import replace

import captum.attr
import torch
from torch import nn

from autodl.attribution import Players
from autodl_explainers.feature_ablation import FeatureAblation


def test_a_linear_model_gives_weight_times_difference(question):
    net, rows, baseline = nn.Linear(6, 3).double(), torch.randn(4, 6).double(), torch.randn(1, 6).double()
    found = FeatureAblation().attribute(question(net, rows, baseline, target=2))
    expected = net.weight[2].detach() * (rows - baseline)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)


def test_it_is_captums_on_groups_of_entries(question):
    torch.manual_seed(0)
    net, rows, baseline = (
        nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)),
        torch.randn(4, 6),
        torch.ones(1, 6),
    )
    index = torch.tensor([0, 0, 1, 2, 2, 2])
    asked = replace(question(net, rows, baseline, target=1), players=Players(("a", "b", "c"), {"x": index}))
    mask = index.unsqueeze(0)
    expected = captum.attr.FeatureAblation(net).attribute(rows, baseline, target=1, feature_mask=mask)[:, [0, 2, 3]]
    torch.testing.assert_close(FeatureAblation().attribute(asked).values, expected.detach(), rtol=1e-5, atol=1e-6)


def test_it_asks_nothing_of_the_model_but_answers(question):
    asked = replace(question(nn.Identity(), torch.ones(2, 3)), model=lambda x: torch.from_numpy(x["x"].numpy() ** 2))
    assert FeatureAblation().attribute(asked).values.tolist() == [[1.0, 0.0, 0.0]] * 2
    assert FeatureAblation().attribute(asked).evaluations == 2 * 4
