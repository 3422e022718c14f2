from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl.errors import ExplanationError
from autodl_explainers._relevance import WEIGHTED, Relevance
from autodl_explainers._tape import record_pass


def relevance(function, x, gamma=0.0, epsilon=0.0):
    x = torch.as_tensor(x, dtype=torch.float64)
    tape = record_pass(lambda inputs: function(inputs["x"]), {"x": x})
    return Relevance(tape, gamma, epsilon).entries(0)["x"]


def test_agreeing_contributions_count_more():
    """Terms 3 and -1 of the sum 2: with gamma 1 the first counts twice, so that the shares are 6 and -1 of 5."""
    weights = torch.tensor([[3.0], [-1.0]]).double()
    assert relevance(lambda x: x @ weights, [[1.0, 1.0]]).tolist() == [[3.0, -1.0]]
    torch.testing.assert_close(
        relevance(lambda x: x @ weights, [[1.0, 1.0]], gamma=1.0), torch.tensor([[6.0, -1.0]]).double() * 2 / 5
    )


def test_sums_below_zero_are_led_by_what_is_below_zero():
    weights = torch.tensor([[-3.0], [1.0]]).double()
    torch.testing.assert_close(
        relevance(lambda x: x @ weights, [[1.0, 1.0]], gamma=1.0), torch.tensor([[6.0, -1.0]]).double() * -2 / 5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.25, 100.0])
def test_no_divisor_is_smaller_than_the_sum(gamma):
    """Contributions cancel to a tiny sum: the gamma rule may not blow them up, and the whole is kept."""
    weights = torch.tensor([[1.0], [-1.0]]).double()
    found = relevance(lambda x: x @ weights, [[1.0, 1.0 - 1e-9]], gamma=gamma)
    assert found.sum() == pytest.approx(1e-9, rel=1e-5)
    assert found.abs().max() <= 1.0


def test_laying_out_anew_costs_nothing():
    found = relevance(
        lambda x: x.view(2, 1, 2).transpose(1, 2).flatten(1).unsqueeze(1)[:, 0], [[2.0, 1.0], [4.0, 0.0]], epsilon=0.5
    )
    assert found.tolist() == [[2.0, 0.0], [4.0, 0.0]]


def test_epsilon_dampens_what_is_divided():
    found = relevance(lambda x: x.sum(1, keepdim=True), [[1.0, 1.0]], epsilon=2.0)
    assert found.tolist() == [[0.5, 0.5]]


def test_each_weighted_operation_leaves_its_weights_where_the_table_says():
    batch = torch.randn(2, 3, 4).double()
    for build, name in [
        (lambda x: torch.addmm(torch.ones(5).double(), x[:, 0], torch.ones(4, 5).double()), "addmm"),
        (lambda x: torch.baddbmm(torch.ones(5).double(), x, torch.ones(2, 4, 5).double())[:, 0], "baddbmm"),
        (
            lambda x: nn.functional.conv1d(x, torch.ones(5, 3, 4).double(), torch.ones(5).double()).flatten(1),
            "convolution",
        ),
        (lambda x: x[:, 0] @ torch.ones(4, 5).double(), "mm"),
        (lambda x: torch.bmm(x, torch.ones(2, 4, 5).double())[:, 0], "bmm"),
    ]:
        assert name in WEIGHTED
        tape = record_pass(lambda inputs, build=build: build(inputs["x"]), {"x": batch})
        assert name in [node.name for node in tape.nodes]
        one, gradient = Relevance(tape, 0.0, 0.0).entries(0)["x"], batch.clone().requires_grad_()
        build(gradient)[:, 0].sum().backward()
        biased = 0.0 if name in ("mm", "bmm") else 1.0
        torch.testing.assert_close(one.flatten(1).sum(1), tape.answer[:, 0] - biased)
        torch.testing.assert_close(one, gradient.grad * batch)


def test_what_is_chosen_gets_all():
    assert relevance(lambda x: torch.where(x > 1, x, 2 * x).sum(1, keepdim=True), [[3.0, 1.0]]).tolist() == [[3.0, 2.0]]


def test_refuses_what_makes_something_of_nothing():
    with pytest.raises(ExplanationError, match="runs 'cos', for which there is no rule of relevance"):
        relevance(torch.cos, [[1.0]])
