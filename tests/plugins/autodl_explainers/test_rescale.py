from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodl.errors import ExplanationError
from autodl_explainers._rescale import Pair, _logarithmic_mean, objection


def pair(function, x, x0):
    """The two passes of a function of one tensor."""
    x, x0 = (torch.as_tensor(each, dtype=torch.float64) for each in (x, x0))
    return Pair.record(lambda inputs: function(inputs["x"]), {"x": x}, {"x": x0})


def multipliers(function, x, x0, target=0):
    return pair(function, x, x0).multipliers(target)["x"].tolist()


def test_the_slope_from_baseline_to_row():
    assert multipliers(torch.relu, [[3.0]], [[-1.0]]) == [[0.75]]
    assert multipliers(torch.exp, [[1.0]], [[0.0]]) == [[pytest.approx(math.e - 1)]]


@pytest.mark.parametrize("apart", [0.0, 1e-17, 1e-15])
def test_the_derivative_where_there_is_no_difference(apart):
    assert multipliers(torch.sigmoid, [[apart]], [[0.0]])[0][0] == pytest.approx(0.25, abs=1e-6)
    assert multipliers(torch.exp, [[1 + apart]], [[1.0]])[0][0] == pytest.approx(math.e, rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(x=st.floats(-30, 30), apart=st.floats(-1e-6, 1e-6))
def test_no_multiplier_is_steeper_than_the_function(x, apart):
    found = multipliers(torch.sigmoid, [[x + apart]], [[x]])[0][0]
    assert -1e-6 <= found <= 0.25 * (1 + 0.2)


def test_no_slope_is_infinite():
    assert multipliers(torch.sqrt, [[0.0]], [[0.0]]) == [[0.0]]


def test_a_maximum_goes_by_way_of_the_larger_value():
    """max(3, 1) - max(0, 2) = 1: from 2 up to 3 is the first entry's gain, out of its difference of 3."""
    assert multipliers(lambda x: x.amax(1, keepdim=True), [[3.0, 1.0]], [[0.0, 2.0]]) == [[pytest.approx(1 / 3), 0.0]]
    assert multipliers(lambda x: x.amax(1, keepdim=True), [[0.0, 1.0]], [[0.0, 2.0]]) == [[0.0, 1.0]]


def test_windows_that_overlap_add_up():
    pool = nn.MaxPool1d(2, 1)
    x, x0 = [[[0.0, 4.0, 0.0]]], [[[0.0, 1.0, 0.0]]]
    assert multipliers(lambda x: pool(x).sum(2), x, x0) == [[[0.0, 2.0, 0.0]]]


@settings(deadline=None, max_examples=50)
@given(a=st.floats(1e-3, 1e3), b=st.floats(1e-3, 1e3))
def test_logarithmic_mean(a, b):
    found = float(_logarithmic_mean(*torch.tensor([a, b], dtype=torch.float64).log()))
    assert min(a, b) * (1 - 1e-9) <= found <= max(a, b) * (1 + 1e-9)
    if abs(a - b) > 1e-3:
        assert found == pytest.approx((a - b) / (math.log(a) - math.log(b)), rel=1e-6)


def test_logarithmic_mean_of_nothing():
    nothing = torch.tensor(-torch.inf)
    assert float(_logarithmic_mean(nothing, nothing)) == 0
    assert float(_logarithmic_mean(nothing, torch.tensor(0.0))) == 0


def test_masked_scores_take_no_part():
    def masked(x):
        return x.masked_fill(torch.tensor([False, True, False]), -torch.inf).softmax(1)

    found = pair(masked, [[1.0, 2.0, 0.5]], [[0.0, 0.0, 0.0]]).contributions(0)["x"]
    assert found[0, 1] == 0
    torch.testing.assert_close(found.sum(), 1 / (1 + torch.tensor(-0.5).double().exp()) - 0.5)


def test_passes_that_part_ways_are_refused():
    def by_sign(x):
        return x.tanh() if bool(x.sum() > 0) else x.relu()

    with pytest.raises(ExplanationError, match="the same for every row"):
        pair(by_sign, [[1.0]], [[-1.0]])


def test_what_passes_torch_by_is_found_out_by_arithmetic(zoo_question):
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return torch.tensor(x.tolist(), dtype=x.dtype).exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    asked = zoo_question("relu")
    asked.model.net.insert(2, type("Aside", (nn.Module,), {"forward": lambda self, x: x + Hidden.apply(x)})())
    assert "must" in (objection(asked) or "")
    del asked.model.net[2]
    assert objection(asked) is None
