from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from autodl.explaining.ask import ask
from autodl_explainers.deep_lift import DeepLift
from autodl_explainers.deep_lift_shap import DeepLiftShap


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()


@pytest.fixture
def rows():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture
def background():
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(2)).double()


def test_sums_to_the_output_less_the_backgrounds_mean(rows, background, question):
    net = mlp()
    for target, found in enumerate(ask(DeepLiftShap(), question(net, rows, background=background), [0, 1, 2])):
        torch.testing.assert_close(found.base, net(background)[:, target].mean().detach())
        assert found.completeness_gap.abs().max() < 1e-12


def test_is_the_mean_of_deep_lift_over_the_background(rows, background, question):
    found = DeepLiftShap().attribute(question(mlp(), rows, background=background))
    one_by_one = [DeepLift().attribute(question(mlp(), rows, each.unsqueeze(0))).entries["x"] for each in background]
    torch.testing.assert_close(found.entries["x"], torch.stack(one_by_one).mean(0))


def test_as_captum_has_it(rows, background, question):
    from captum.attr import DeepLiftShap as Captum

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it sets hooks
        theirs = Captum(mlp()).attribute(rows, background, target=2)
    ours = DeepLiftShap().attribute(question(mlp(), rows, background=background, target=2))
    torch.testing.assert_close(ours.entries["x"], theirs.detach(), rtol=0, atol=1e-12)


def test_as_shap_has_it(rows, background, question, deep_explainer):
    theirs = deep_explainer(mlp(), background).shap_values(rows.clone(), check_additivity=False)
    ours = DeepLiftShap().attribute(question(mlp(), rows, background=background, target=1))
    np.testing.assert_allclose(ours.entries["x"].numpy(), np.asarray(theirs)[..., 1], atol=1e-6)


class Widest(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.rows = mlp(), 0

    def forward(self, x):
        self.rows = max(self.rows, len(x))
        return self.net(x)


def test_pairs_are_never_all_there_at_once(rows, background, question):
    net = Widest()
    whole = DeepLiftShap().attribute(question(net, rows, background=background))
    assert net.rows == 35
    net.rows = 0
    little = DeepLiftShap().attribute(question(net, rows, background=background, memory=10_000))
    assert net.rows <= 8  # the audit's rows, and some pairs
    torch.testing.assert_close(whole.values, little.values)
    torch.testing.assert_close(whole.base, little.base)
    assert little.evaluations == 70


def test_refuses_what_deep_lift_refuses(zoo_question):
    assert "(GRU) runs" in (DeepLiftShap().objection(zoo_question("GRU")) or "")
    assert DeepLiftShap().objection(zoo_question("conv relu pool")) is None
