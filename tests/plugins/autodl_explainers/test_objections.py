from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autodl import registry
from autodl.attribution import Players, Question
from autodl.errors import ExplanationError
from autodl.explaining.ask import ask
from autodl.records import InputSpec
from autodl.testing._explainer_cases import SPECS, Small, about, seeded, small_questions
from autodl_explainers._objections import first, missing, named, opaque, rewritable


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


def test_ids_of_words_have_no_gradient_and_vectors_have() -> None:
    ids, vectors = (
        InputSpec((3, 1), ("x",), torch.zeros(3, 1).long(), torch.zeros(3, 1), vocabulary=count) for count in (5, 0)
    )
    x = torch.ones(2, 3, 1)
    assert "input 'x' holds ids of words" in str(named(replace(question(Net(), x), specs={"x": ids})))
    assert named(replace(question(Net(), x), specs={"x": vectors})) is None
    assert named(question(Net(), x)) is None


GRADIENTS = (
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smooth_grad",
    "gradient_shap",
    "deep_lift",
    "deep_lift_shap",
    "lrp",
    "layer_conductance",
)


@pytest.mark.parametrize("name", GRADIENTS)
def test_methods_that_follow_gradients_refuse_words_by_their_input(name: str) -> None:
    asked = small_questions()["table and text"]
    with pytest.raises(ExplanationError, match=r"input 'text' holds ids of words.*use shapley"):
        ask(registry.explainers.load(name)(), asked, [0])


@pytest.mark.parametrize("name", ["shapley", "lime", "feature_ablation", "occlusion", "counterfactual"])
def test_methods_that_take_words_away_or_swap_texts_answer(name: str) -> None:
    asked = small_questions()["table and text"]
    (found,) = ask(registry.explainers.load(name)(), asked, [0])
    assert found.values[:, asked.players.names.index("text")].abs().max() > 0


def test_maps_of_an_image_do_not_mind_words_beside_it() -> None:
    """The gradient ends at the maps."""
    asked = about(seeded(lambda: Small(("image", "text"))).eval(), {name: SPECS[name] for name in ("image", "text")})
    (found,) = ask(registry.explainers.load("grad_cam")(), asked, [0])
    assert found.entries is not None
    assert found.entries["image"].abs().max() > 0
    assert not found.entries["text"].any()
