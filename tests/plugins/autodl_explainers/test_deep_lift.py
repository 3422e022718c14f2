from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodl.errors import ExplanationError
from autodl.explaining.ask import ask
from autodl_explainers.deep_lift import DeepLift


def outputs(question, inputs):
    with torch.no_grad():
        return question.model({name: x.clone() for name, x in inputs.items()})


def gap(question, found):
    whole = outputs(question, question.inputs)[:, question.target] - found.base
    return ((found.values.sum(1) - whole).abs() / whole.abs().clamp_min(1e-12)).max().item()


@pytest.mark.parametrize("at_zero", [True, False], ids=["constant baseline", "baseline like a row"])
def test_every_network_of_the_zoo_is_exact_or_refused(zoo_case, at_zero):
    case, asked = zoo_case
    if at_zero:
        asked = replace(asked, baseline={"x": torch.zeros_like(asked.baseline["x"])})
    reason = DeepLift().objection(asked)
    if case.refused:
        assert reason is not None
        assert case.refused in reason
        return
    assert reason is None
    width = outputs(asked, asked.inputs).shape[1]
    for target, found in zip((0, width - 1), DeepLift().attribute_all(asked, [0, width - 1]), strict=True):
        assert gap(replace(asked, target=target), found) < 1e-9
        torch.testing.assert_close(found.base, outputs(asked, asked.baseline)[0, target])
        assert not found.values.requires_grad


def test_a_row_does_not_see_the_others(exact_case):
    whole = DeepLift().attribute(exact_case).values
    alone = torch.cat([DeepLift().attribute(exact_case.at(slice(row, row + 1))).values for row in range(5)])
    torch.testing.assert_close(whole, alone, rtol=1e-9, atol=1e-11)


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 2 * 2, 10),
        nn.ReLU(),
        nn.Linear(10, 3),
    )


@pytest.mark.parametrize(
    ("net", "shape"),
    [(lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)), (6,)),
     (lenet, (1, 14, 14))],
    ids=["mlp", "lenet"],
)  # fmt: skip
def test_as_shap_has_it(net, shape, question, deep_explainer):
    torch.manual_seed(0)
    net = net().double().eval()
    rows, baseline = torch.randn(4, *shape).double(), torch.randn(1, *shape).double()
    found = DeepLift().attribute(question(net, rows, baseline, target=1))
    theirs = deep_explainer(net, baseline).shap_values(rows.clone(), check_additivity=False)
    np.testing.assert_allclose(found.entries["x"].numpy(), np.asarray(theirs)[..., 1], atol=1e-6)


def rows_of(values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1)


numbers = st.lists(st.floats(-5, 5, allow_nan=False), min_size=3, max_size=3)


@settings(deadline=None, max_examples=25)
@given(x=numbers, b=numbers, w=numbers)
def test_linear(x, b, w):
    net = nn.Linear(3, 1).double()
    net.weight.data = rows_of(w)
    found = DeepLift().attribute(_asked(net, rows_of(x), rows_of(b)))
    torch.testing.assert_close(found.values, rows_of(w) * (rows_of(x) - rows_of(b)), rtol=0, atol=1e-12)


class Additive(nn.Module):
    def forward(self, x):
        return (x[:, 0].sin() + x[:, 1].abs() ** 1.5 + x[:, 2].exp()).unsqueeze(1)


@settings(deadline=None, max_examples=25)
@given(x=numbers, b=numbers)
def test_additive(x, b):
    found = DeepLift().attribute(_asked(Additive(), rows_of(x), rows_of(b)))

    def parts(z):
        return torch.stack([z[:, 0].sin(), z[:, 1].abs() ** 1.5, z[:, 2].exp()], 1)

    torch.testing.assert_close(found.values, parts(rows_of(x)) - parts(rows_of(b)), rtol=1e-9, atol=1e-10)


class Product(nn.Module):
    def forward(self, x):
        return x[:, :1] * x[:, 1:2] + x[:, 2:]


@settings(deadline=None, max_examples=25)
@given(x=numbers, b=numbers)
def test_a_product_is_shared_as_shapley_does(x, b):
    found = DeepLift().attribute(_asked(Product(), rows_of(x), rows_of(b))).values[0]
    closed = [(x[0] - b[0]) * (x[1] + b[1]) / 2, (x[1] - b[1]) * (x[0] + b[0]) / 2, x[2] - b[2]]
    np.testing.assert_allclose(found.numpy(), closed, atol=1e-12)


class SiluByHand(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class ReluByHand(nn.Module):
    def forward(self, x):
        return x * (x > 0)


class ReluByChoice(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("one", "other"),
    [(nn.SiLU, SiluByHand), (nn.ReLU, ReluByHand), (nn.ReLU, ReluByChoice)],
    ids=lambda it: it.__name__,
)
def test_it_makes_no_difference_how_an_activation_is_written(one, other, question):
    torch.manual_seed(0)
    first, last = nn.Linear(4, 8).double(), nn.Linear(8, 2).double()
    rows, baseline = torch.randn(6, 4).double(), torch.randn(1, 4).double()
    a, b = (
        DeepLift().attribute(question(nn.Sequential(first, layer(), last), rows, baseline)).values
        for layer in (one, other)
    )
    torch.testing.assert_close(a, b)


def test_softmax_survives_large_logits(question):
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Softmax(1))
    net[0].weight.data = 1000 * torch.eye(3)
    asked = question(net, torch.tensor([[1.0, 0.0, -1.0], [-3.0, 2.0, 2.0]]))
    found = DeepLift().attribute(asked)
    assert found.values.isfinite().all()
    torch.testing.assert_close(found.values.sum(1), torch.tensor([1.0, 0.0]) - 1 / 3, rtol=0, atol=2e-4)


def test_single_precision_is_good_to_its_rounding(question):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    (found,) = ask(DeepLift(), question(net, torch.randn(50, 10)), [1])
    assert found.completeness_gap.abs().max() < 1e-5 * (found.output - found.base).abs().max()


class Widest(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.rows = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).double(), 0

    def forward(self, x):
        self.rows = max(self.rows, len(x))
        return self.net(x)


def test_memory_is_kept_and_changes_nothing(question):
    torch.manual_seed(0)
    net, rows = Widest(), torch.randn(40, 6).double()
    whole = DeepLift().attribute(question(net, rows))
    assert net.rows == 40
    net.rows = 0
    little = DeepLift().attribute(question(net, rows, memory=5000))
    assert net.rows < 20
    torch.testing.assert_close(whole.values, little.values)
    assert little.evaluations == 80


def test_missing_rows_are_refused(question):
    rows = torch.randn(3, 4)
    rows[1] = torch.nan
    with pytest.raises(ExplanationError, match=r"missing in 1 of 3 rows \(the first is row 1\)"):
        ask(DeepLift(), question(nn.Linear(4, 2), rows), [0])


def test_a_forced_answer_is_marked_and_never_crashes(question):
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(1).values

    (found,) = ask(DeepLift(), question(Sorted(), torch.randn(3, 4)), [0], force=True)
    assert any("'sort'" in note for note in found.notes)
    with pytest.raises(ExplanationError, match=r"'net' \(Sorted\) runs 'sort'"):
        ask(DeepLift(), question(Sorted(), torch.randn(3, 4)), [0])


def test_an_output_that_does_not_look_at_the_inputs_has_no_shares(question):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 2)

    found = DeepLift().attribute(question(Constant(), torch.randn(3, 4)))
    assert not found.values.any()
    assert found.base == 1


def _asked(net, rows, baseline):
    from autodl.attribution import Players, Question

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, inputs):
            return self.net(inputs["x"])

    players = Players(("a", "b", "c"), {"x": torch.arange(3)})
    return Question(Named(), {"x": rows}, 0, {}, players, {"x": baseline}, {"x": baseline})
