from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Attribution, Labelled, Players, Question
from autodl.contracts import Explainer
from autodl.errors import ExplanationError
from autodl.explaining.ask import FEW, ask, evaluate, gaps, untouched, within_time
from autodl.records import InputSpec


class Halves(Explainer):
    """Says that both players have half of the output, less what it is told to keep."""

    complete = True

    def objection(self, question: Question) -> str | None:
        return "layer 3 bites" if self.settings.get("objects") else None

    def attribute(self, question: Question) -> Attribution:
        assert not question.model.training  # type: ignore[attr-defined]
        output = question.model(dict(question.inputs))[:, question.target]
        share = output.detach() / 2
        return Attribution(torch.stack([share, share - self.settings.get("kept", 0.0)], 1), torch.tensor(0.0))


class Needy(Halves):
    needs = ("labelled",)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(2, 3), nn.Dropout(0.5)
        with torch.no_grad():
            self.layer.weight.fill_(1.0)
            self.layer.bias.fill_(0.0)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.dropout(self.layer(inputs["x"]))


def question(**changes: Any) -> Question:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    players = Players(("a", "b"), {"x": torch.arange(2)})
    given = {"model": Net().train(), "inputs": {"x": x}, "target": 0, "specs": {}, "players": players}
    return Question(**{**given, "background": {}, "baseline": {}, **changes})


def test_the_answer_knows_its_method_output_and_gap() -> None:
    first, second = ask(Halves(), question(), [0, 2])
    assert (first.explainer, first.target, second.target) == ("halves", 0, 2)
    assert first.output is not None
    assert first.completeness_gap is not None
    assert first.output.tolist() == [3, 7]
    assert first.completeness_gap.tolist() == [0, 0]
    assert gaps(first).tolist() == [0, 0]


def test_an_objection_refuses_and_force_is_told() -> None:
    with pytest.raises(ExplanationError, match="halves would mislead here: layer 3 bites"):
        ask(Halves(objects=True), question(), [0])
    (found,) = ask(Halves(objects=True), question(), [0], force=True)
    assert found.notes == ("forced: layer 3 bites",)


def test_an_answer_that_misses_its_sum_is_refused() -> None:
    with pytest.raises(ExplanationError, match="miss what they should sum to by 33%"):
        ask(Halves(kept=1.0), question(), [0])
    (found,) = ask(Halves(kept=1.0), question(), [0], force=True)
    assert "forced: its values miss" in found.notes[0]
    (small,) = ask(Halves(kept=0.1), question(), [0])
    assert small.completeness_gap is not None
    assert small.completeness_gap.tolist() == pytest.approx([-0.1, -0.1])


def test_what_a_method_needs_is_asked_for() -> None:
    with pytest.raises(ExplanationError, match="needy must be given labelled"):
        ask(Needy(), question(), [0])
    rows = Labelled({"x": torch.ones(1, 2)}, torch.zeros(1), lambda outputs, targets: targets)
    assert len(ask(Needy(), question(labelled=rows), [0])) == 1


def meddle(model: Any) -> None:
    with untouched(model, 0):
        assert not model.training
        model.layer.weight.requires_grad_(True)
        model.layer.bias.grad = None
        torch.rand(5)
        raise RuntimeError("inside")


def test_all_is_left_as_it_was_found() -> None:
    asked = question()
    model: Any = asked.model
    model.dropout.eval()
    model.layer.weight.requires_grad_(False)
    model.layer.bias.grad = torch.ones(3)
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"):
        meddle(model)
    assert model.training
    assert not model.dropout.training
    assert not model.layer.weight.requires_grad
    assert model.layer.bias.grad.tolist() == [1, 1, 1]
    assert torch.equal(torch.get_rng_state(), state)


def test_rows_are_sent_some_at_a_time_and_come_back_in_order() -> None:
    sizes = []

    def model(inputs: dict[str, Tensor]) -> Tensor:
        sizes.append(len(inputs["x"]))
        return inputs["x"] * 2

    x = torch.arange(2500.0).unsqueeze(1)
    assert torch.equal(evaluate(question(model=model), {"x": x}), x * 2)
    assert max(sizes) <= 1024


def test_a_gap_of_rounding_is_no_gap() -> None:
    values = torch.tensor([[1e6, 1.0]])
    found = Attribution(
        values, torch.tensor(0.0), output=torch.tensor([1e6 + 1.0]), completeness_gap=torch.tensor([0.5])
    )
    assert gaps(found).item() == 0


def test_of_many_background_rows_as_many_are_looked_at_as_time_bears() -> None:
    rows = {"x": torch.arange(200.0).view(-1, 1)}
    asked = []

    def slow(inputs):
        asked.append(len(inputs["x"]))
        time.sleep(0.002 * len(inputs["x"]))
        return inputs["x"]

    spec = InputSpec((1,), ("x",), torch.zeros(1, dtype=torch.int64), torch.zeros(1))
    players = Players(("x",), {"x": torch.zeros(1, dtype=torch.int64)})
    question = Question(slow, {"x": torch.zeros(1, 1)}, 0, {"x": spec}, players, rows, {"x": torch.zeros(1, 1)})
    places, each = within_time(question, None)
    assert places.tolist() == list(range(200))
    assert each >= 0.002
    assert asked == [FEW]
    places, _ = within_time(question, 1.0)  # a tenth of it bears at most 50 rows
    assert FEW <= len(places) <= 50
    assert places[0] == 0
    assert places[-1] == 199
