from __future__ import annotations

import torch
from torch import nn

from autodl_explainers._differences import MOST_PAIRS, attributions, rows_at_once


def net(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)).double()


def test_wider_networks_and_less_memory_mean_fewer_rows(question):
    rows = torch.randn(9, 4).double()
    assert rows_at_once(question(net(), rows)) == MOST_PAIRS
    narrow, wide = (rows_at_once(question(net(width), rows, memory=100_000)) for width in (8, 80))
    assert 4 < narrow / wide < 12
    assert rows_at_once(question(net(), rows, memory=1)) == 1


def test_each_row_meets_each_baseline_once(question):
    rows, baselines = torch.randn(5, 4).double(), torch.randn(3, 4).double()
    found = attributions(question(net(), rows, memory=4000), [0, 2], {"x": baselines})
    for target, each in zip((0, 2), found, strict=True):
        whole = net()(rows)[:, target] - net()(baselines)[:, target].mean()
        torch.testing.assert_close(each.values.sum(1), whole.detach())
        torch.testing.assert_close(each.base, net()(baselines)[:, target].mean().detach())
        assert each.evaluations == 30


def test_targets_share_the_passes(question):
    calls = []

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            calls.append(len(x))
            return self.net(x)

    attributions(question(Counted(), torch.randn(5, 4).double()), [0, 1, 2], {"x": torch.zeros(1, 4).double()})
    assert calls == [4, 5, 5]  # a look at memory, the rows, their baselines
