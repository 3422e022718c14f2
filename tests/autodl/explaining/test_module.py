from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import autodl
from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.module import explain_module
from autodl.explaining.request import Request

WEIGHTS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])


def linear() -> nn.Linear:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(WEIGHTS)
        layer.bias.fill_(0.25)
    return layer


def test_a_linear_module_is_explained_by_its_weights() -> None:
    x, known = torch.randn(5, 3), torch.randn(4, 3)
    found = autodl.explain(linear(), x, background=known, names=["a", "b", "c"])
    expected = WEIGHTS[0] * (x - known.mean(0))
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    np.testing.assert_allclose(found.of(1).values, WEIGHTS[1] * (x - known.mean(0)), atol=1e-5)
    assert found.outputs == ("output 0", "output 1")
    assert list(found.values.columns) == ["a", "b", "c"]
    assert found.baseline_words == "4 background rows"
    np.testing.assert_allclose(found.rows["b"], x[:, 1])


def test_a_frame_names_its_columns_and_groups_join_them() -> None:
    frame = pd.DataFrame(torch.randn(6, 3).numpy(), columns=["a", "b", "c"], index=list("uvwxyz"))
    found = autodl.explain(linear(), frame, groups={"bc": [1, 2]}, outputs=[0])
    assert list(found.values.columns) == ["a", "bc"]
    assert list(found.values.index) == list("uvwxyz")
    assert found.baseline_words == "6 of the explained rows themselves"


class Both(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left.sum(1) - 2 * right.sum(1)


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_several_inputs_come_by_position_or_by_keyword(form: str) -> None:
    left, right = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
    given = (left, right) if form == "tuple" else {"right": right, "left": left}
    found = autodl.explain(Both(), given)
    assert found.baseline_words == "zeros"
    assert sorted(found.values.iloc[0].tolist()) == [-6, 1, 2]
    assert found.predicted.tolist() == [-3]


def test_gradients_work_for_modules_and_are_refused_for_functions() -> None:
    x = torch.randn(4, 3)
    found = autodl.explain(linear(), x, background=torch.zeros(1, 3), explainer="integrated_gradients")
    np.testing.assert_allclose(found.values, WEIGHTS[0] * x, atol=1e-5)
    assert found.baseline_words == "the mean of 1 background row"
    with pytest.raises(ExplanationError, match="no torch module"):
        autodl.explain(lambda x: x.sum(1), x, explainer="integrated_gradients")


def test_any_function_can_be_explained() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(80, 3))
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    found = autodl.explain(model.predict_proba, x[:6], background=x[:20], outputs=[1])
    np.testing.assert_allclose(found.predicted, model.predict_proba(x[:6])[:, 1], atol=1e-5)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-5)
    assert found.importance().index[0] == "input 0"


def test_an_image_is_divided_and_a_sequence_is_told_step_by_step() -> None:
    bright = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    found = autodl.explain(bright, torch.randn(2, 1, 8, 8), background=torch.zeros(1, 1, 8, 8))
    assert found.players[0] == "input segment 1"
    whole = autodl.explain(bright, torch.randn(2, 1, 8, 8), background=torch.zeros(1, 1, 8, 8), segments=False)
    assert whole.players == ("input",)
    steps = autodl.explain(nn.Sequential(nn.Flatten(), nn.Linear(12, 1)), torch.randn(2, 4, 3))
    assert steps.players == ("input 0", "input 1", "input 2", "input 3")


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    autodl.explain(module, torch.randn(8, 3))
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_front_door_says_the_same_defaults() -> None:
    outer, inner = (inspect.signature(each).parameters for each in (autodl.explain, explain_module))
    assert {name: each.default for name, each in outer.items()}.items() <= {
        name: each.default for name, each in inner.items()
    }.items()
    assert inner["seconds"].default == Request().seconds


def test_bad_questions_are_refused() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(ExplanationError, match=r"\(rows, \*shape\) with at least one row, however \(3,\) came"):
        autodl.explain(linear(), torch.randn(3))
    with pytest.raises(ExplanationError, match=r"must return \(rows,\) or \(rows, outputs\), however \(1, 3, 1\) came"):
        autodl.explain(lambda x: x.unsqueeze(2), x)
    with pytest.raises(ExplanationError, match=r"must look like the inputs .*\(1, 2\)"):
        autodl.explain(linear(), x, background=torch.zeros(1, 2))
    with pytest.raises(ExplanationError, match=r"positions below 2, however \[2\] came"):
        autodl.explain(linear(), x, outputs=[2])
    with pytest.raises(ExplanationError, match="there must be 3 names, one a feature, however 2 came"):
        autodl.explain(linear(), x, names=["a", "b"])
    with pytest.raises(ExplanationError, match=r"groups must hold positions below 3, however \[7\] came"):
        autodl.explain(linear(), x, groups={"a": [0, 7]})
    with pytest.raises(ExplanationError, match="at most 1000 players"):
        autodl.explain(lambda x: x.sum(1), torch.randn(2, 1001))
    with pytest.raises(UnknownNameError, match="no explainer is called"):
        autodl.explain(linear(), x, explainer="lyme")
