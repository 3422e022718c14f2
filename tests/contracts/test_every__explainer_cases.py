"""The models and questions that explainers are tested on."""

from __future__ import annotations

import pytest
import torch

from autodl.testing._explainer_cases import (
    BACKGROUND,
    OUTPUTS,
    ROWS,
    SPECS,
    Small,
    Weighed,
    linear_question,
    seeded,
    small_questions,
)


@pytest.mark.parametrize("kind", ["table", "image", "image and table", "sound", "table and text"])
def test_a_question_has_all_that_a_method_may_need(kind: str) -> None:
    question = small_questions()[kind]
    assert " and ".join(question.names) == kind
    assert len(question) == ROWS
    assert question.model(dict(question.inputs)).shape == (ROWS, OUTPUTS)
    assert question.labelled is not None
    assert question.labelled.loss(*[question.labelled.targets] * 2).shape == (BACKGROUND,)
    shares = question.players.pooled({name: torch.ones_like(x) for name, x in question.inputs.items()})
    assert (shares > 0).all()
    assert shares.sum(1).tolist() == [sum(x[0].numel() for x in question.inputs.values())] * ROWS


def test_the_linear_model_ignores_one_column() -> None:
    model = seeded(lambda: Weighed(torch.float64))
    ignored = SPECS["table"].columns.index("number_1")
    weights = model.get_submodule("last").weight
    assert torch.equal(weights.abs().sum(0) == 0, SPECS["table"].feature_mask == ignored)


def test_the_linear_models_background_is_its_baseline_on_average() -> None:
    question = linear_question()
    torch.testing.assert_close(question.background["table"].mean(0), question.baseline["table"][0])


def test_a_missing_image_is_one_of_zeros() -> None:
    model = seeded(lambda: Small(("image",))).eval()
    image = torch.zeros(1, 2, 8, 8)
    assert torch.equal(model({"image": image}), model({"image": image * float("nan")}))


def test_seeding_leaves_chance_alone() -> None:
    before = torch.get_rng_state()
    first, again = (seeded(lambda: Small(("table",))).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_text_is_asked_for_words_alone() -> None:
    """What lies between two words is no number, so that no method can ask for it unnoticed."""
    question = small_questions()["table and text"]
    inputs = dict(question.inputs)
    assert question.model(inputs).isfinite().all()
    assert question.model({**inputs, "text": inputs["text"] + 0.5}).isnan().all()
    assert (inputs["text"] == 0).any()
