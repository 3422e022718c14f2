from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from autodl.attribution import Players, Question
from autodl_explainers._objections import first, missing, opaque, rewritable


class Net(nn.Module):
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["x"]


def question(model: Any, x: Tensor) -> Question:
    return Question(model, {"x": x}, 0, {}, Players((), {}), {}, {})


def test_the_first_reason_counts() -> None:
    assert first(None, "a", "b") == "a"
    assert first(None, None) is None


def test_a_function_is_opaque_and_a_module_is_not() -> None:
    assert opaque(question(Net(), torch.zeros(1, 1))) is None
    assert "no torch module" in str(opaque(question(lambda inputs: inputs["x"], torch.zeros(1, 1))))


def test_a_traced_module_cannot_be_looked_into() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch advises against it, and people have such modules
                self.inner = torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2))  # type: ignore[no-untyped-call]

    assert rewritable(question(Net(), torch.zeros(1, 1))) is None
    assert "scripted, traced or compiled" in str(rewritable(question(Holder(), torch.zeros(1, 1))))


def test_a_missing_input_is_told_with_its_row() -> None:
    x = torch.tensor([[1.0, 2.0], [torch.nan, torch.nan]])
    assert missing(question(Net(), x[:1])) is None
    assert "input 'x' is missing in 1 of 2 rows (the first is row 1)" in str(missing(question(Net(), x)))
