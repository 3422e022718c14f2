from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autodl.attribution import Players, Question
from autodl.errors import ExplanationError
from autodl.explaining.ask import ask
from autodl_explainers.integrated_gradients import IntegratedGradients


class Written(nn.Module):
    """A formula as a network."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, x):
        return self.formula(x).unsqueeze(1)


def double(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_model_gives_weight_times_difference(question):
    weights, rows, baseline = double(6), double(5, 6, seed=1), double(1, 6, seed=2)
    (found,) = ask(IntegratedGradients(), question(Written(lambda x: x @ weights + 3), rows, baseline), (0,))
    torch.testing.assert_close(found.values, weights * (rows - baseline), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.base, (baseline @ weights + 3)[0])
    assert found.values.dtype == torch.float64


@given(st.integers(0, 500))
def test_a_product_is_shared_by_its_closed_form(seed):
    rows, baseline = double(4, 3, seed=seed), double(1, 3, seed=seed + 1)
    formula = Written(lambda x: x[:, 0] * x[:, 1] + x[:, 2])
    named = {"x": baseline}
    model = nn.Sequential()
    model.forward = lambda inputs: formula(inputs["x"])
    players = Players(("a", "b", "c"), {"x": torch.arange(3)})
    found = IntegratedGradients().attribute(Question(model, {"x": rows}, 0, {}, players, named, named))
    way, both = rows - baseline, (rows + baseline) / 2
    expected = torch.stack([way[:, 0] * both[:, 1], way[:, 1] * both[:, 0], way[:, 2]], 1)
    torch.testing.assert_close(found.values, expected, rtol=1e-6, atol=1e-6)


def test_an_additive_model_gives_each_entry_its_own(question):
    rows, baseline = double(5, 3), double(1, 3, seed=3)
    found = IntegratedGradients().attribute(question(Written(lambda x: (x**3 + x.sin()).sum(1)), rows, baseline))
    expected = rows**3 + rows.sin() - baseline**3 - baseline.sin()
    torch.testing.assert_close(found.values, expected, rtol=1e-6, atol=1e-6)


def test_steps_are_added_where_they_are_needed_and_nowhere_else(question):
    """A steep step between two places costs some rows more; the others keep what they were given."""
    net = Written(lambda x: torch.sigmoid(2000 * (x[:, 0] - 0.7123)) + x[:, 1])
    rows = torch.tensor([[1.0, 1.0], [0.5, 1.0]], dtype=torch.float64)
    (found,) = ask(IntegratedGradients(steps=16), question(net, rows), (0,))
    torch.testing.assert_close(found.values, torch.tensor([[1.0, 1.0], [0.0, 1.0]]).double(), rtol=0, atol=0.02)
    assert found.found["steps"][1] == 16
    assert found.found["steps"][0] > 16
    assert found.evaluations > 2 * 17 + 1


def test_a_jump_beside_the_baseline_is_found(question):
    """Normalised maps jump where an image begins to differ from an empty one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.GroupNorm(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    asked = question(net.eval(), torch.randn(3, 1, 6, 6))
    (found,) = ask(IntegratedGradients(), asked, (1,))
    assert (found.completeness_gap.abs() <= 0.02 * (found.output - found.base).abs()).all()


def test_every_network_of_the_zoo_is_right_or_refused(zoo_case):
    asked = zoo_case[1]
    if isinstance(getattr(asked.model, "net", None), torch._dynamo.OptimizedModule):
        pytest.skip("the compiler takes longer than all the others")
    try:
        (found,) = ask(IntegratedGradients(), asked, (0,))
    except ExplanationError:
        return  # steps and choices have no gradient, others no end of kinks: they are told by their gap
    whole = (found.output - found.base).abs()
    assert (found.completeness_gap.abs() <= 0.02 * whole + 1e-4 * found.values.abs().sum(1)).all()


@pytest.mark.parametrize("name", ["statistics of the batch", "steps", "argmax", "traced", "scripted"])
def test_networks_of_the_zoo_that_are_refused_or_not(zoo_question, name):
    if name in ("traced", "scripted"):
        ask(IntegratedGradients(), zoo_question(name), (0,))
    else:
        with pytest.raises(ExplanationError, match=r"beside it|miss what they should|no gradient flows"):
            ask(IntegratedGradients(), zoo_question(name), (0,))
