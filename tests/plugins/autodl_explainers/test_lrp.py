from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl.errors import ExplanationError
from autodl.explaining.ask import ask
from autodl_explainers.lrp import Lrp

GAMMA = 0.25


def convolutional(bias=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8, bias=bias),
        nn.ReLU(),
        nn.Linear(8, 2, bias=bias),
    ).double()


def input_x_gradient(net, x, target):
    x = x.clone().requires_grad_()
    return (torch.autograd.grad(net(x)[:, target].sum(), x)[0] * x).detach()


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_gamma_zero_is_input_times_gradient(bias, question):
    net, x = convolutional(bias), torch.randn(5, 1, 8, 8).double()
    found = Lrp(gamma=0.0, epsilon=1e-12).attribute(question(net, x, target=1))
    torch.testing.assert_close(found.entries["x"], input_x_gradient(net, x, 1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.25, 10.0])
def test_without_biases_nothing_is_lost(gamma, question):
    net, x = convolutional(), torch.randn(5, 1, 8, 8).double()
    found = Lrp(gamma=gamma, epsilon=1e-12).attribute(question(net, x))
    torch.testing.assert_close(found.values.sum(1), net(x)[:, 0].detach())
    assert not found.base


def textbook(weights, biases, x, target):
    """The gamma rule term by term: every contribution, and the bias, by its sign against its sum's."""
    activations, sums = [x], []
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        sums.append(w @ activations[-1] + b)
        activations.append(sums[-1].relu() if layer < len(weights) - 1 else sums[-1])
    relevance = torch.zeros_like(activations[-1])
    relevance[target] = activations[-1][target]
    for w, b, a, z in zip(weights[::-1], biases[::-1], activations[-2::-1], sums[::-1], strict=True):
        below = torch.zeros_like(a)
        for k in range(len(z)):
            terms = [float(w[k, j] * a[j]) for j in range(len(a))] + [float(b[k])]
            boosted = [term * (1 + GAMMA) if (term > 0) == (z[k] >= 0) and term != 0 else term for term in terms]
            for j in range(len(a)):
                below[j] += boosted[j] / sum(boosted) * relevance[k]
        relevance = below
    return relevance


@pytest.mark.parametrize("positive", [True, False], ids=["inputs above zero", "inputs of either sign"])
def test_as_the_textbook_has_it(positive, question):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    x = torch.randn(4, 5).double()
    x = x.abs() if positive else x
    found = Lrp(gamma=GAMMA, epsilon=1e-12).attribute(question(net, x, target=1)).values
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    weights, biases = [layer.weight.detach() for layer in layers], [layer.bias.detach() for layer in layers]
    expected = torch.stack([textbook(weights, biases, row, 1) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_a_convolution_is_the_linear_map_that_it_is(question):
    torch.manual_seed(2)
    conv = nn.Conv2d(1, 2, 3, stride=2, padding=1).double()
    cells = torch.eye(25).double().view(25, 1, 5, 5)
    dense = nn.Linear(25, 18).double()
    with torch.no_grad():
        none = conv(torch.zeros(1, 1, 5, 5).double()).flatten(1)
        dense.weight.copy_((conv(cells).flatten(1) - none).T)
        dense.bias.copy_(none[0])
    head = nn.Linear(18, 2).double()
    x = torch.randn(3, 1, 5, 5).double()
    one = Lrp().attribute(question(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head), x)).values
    other = Lrp().attribute(question(nn.Sequential(nn.Flatten(), dense, nn.ReLU(), head), x)).values
    torch.testing.assert_close(one, other)


def test_branches_share_by_value(question):
    class Residual(nn.Module):
        def forward(self, x):
            return x[:, :1] + 3 * x[:, 1:]

    found = Lrp(epsilon=1e-12).attribute(question(Residual(), torch.tensor([[2.0, 1.0], [4.0, 0.0]]).double()))
    torch.testing.assert_close(found.values, torch.tensor([[2.0, 3.0], [4.0, 0.0]]).double())


def test_the_bias_keeps_its_share(question):
    net = nn.Linear(2, 1).double()
    net.weight.data, net.bias.data = torch.tensor([[1.0, 1.0]]).double(), torch.tensor([2.0]).double()
    found = Lrp(gamma=0.0, epsilon=1e-12).attribute(question(net, torch.tensor([[1.0, 3.0]]).double()))
    torch.testing.assert_close(found.values, torch.tensor([[1.0, 3.0]]).double())


def test_a_maximum_hands_all_to_the_largest(question):
    found = Lrp().attribute(question(nn.MaxPool1d(3), torch.tensor([[1.0, 5.0, 2.0]])))
    torch.testing.assert_close(found.values, torch.tensor([[0.0, 5.0, 0.0]]))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("Sigmoid", "'net.1' (Sigmoid) runs 'sigmoid'"),
        ("layer norm", "'net.1' (LayerNorm)"),
        ("gate", "'net.1' (Calls) runs 'mul'"),
        ("glu", "'net.1' (GLU)"),
        ("softmax last", "'net.1' (Softmax)"),
        ("attention", "(MultiheadAttention)"),
        ("logsumexp", "runs 'logsumexp'"),
        ("GRU", "(GRU)"),
        ("sort", "'sort'"),
        ("traced", "hand over the eager one"),
        ("function", "is no torch module"),
    ],
)
def test_refusals_name_the_layer(name, layer, zoo_question):
    reason = Lrp().objection(zoo_question(name))
    assert reason is not None
    assert layer in reason


COVERED = [
    *("relu", "in place first", "relu used twice", "linear used twice", "subclass of relu", "F.relu"),
    *("LeakyReLU", "GELU", "Tanh", "batch norm 1d", "batch norm 2d", "residual", "conv pool relu", "overlapping pool"),
    *("pool 1d", "where missing", "flatten identity conv 1d", "average pool", "transposed convolution"),
]


@pytest.mark.parametrize("name", COVERED)
def test_what_the_rules_cover_is_answered(name, zoo_question):
    asked = zoo_question(name)
    assert Lrp().objection(asked) is None
    found = Lrp().attribute(asked)
    assert found.values.isfinite().all()
    assert found.values.abs().sum() > 0
    one_by_one = torch.cat([Lrp().attribute(asked.at(slice(row, row + 1))).values for row in range(5)])
    torch.testing.assert_close(found.values, one_by_one)


def test_an_objection_stops_it(zoo_question):
    with pytest.raises(ExplanationError, match="lrp would mislead here"):
        ask(Lrp(), zoo_question("Sigmoid"), [0])
