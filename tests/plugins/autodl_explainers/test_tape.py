from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl.errors import ExplanationError
from autodl_explainers._tape import Step, audit_rows, record, record_pass


def steps_of(asked):
    """Without the copies of what goes in and comes out."""
    return [step for step in record(asked) if step.op != "clone"]


def test_says_what_each_layer_does(question):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2)))
    found = steps_of(question(net, torch.randn(9, 4)))
    assert found == [
        Step("addmm", "net.0", nn.Linear, (4, 8), 1, "affine", 1),
        Step("relu", "net.1", nn.ReLU, (4, 8), 1, "elementwise", 1),
        Step("addmm", "net.2.0", nn.Linear, (4, 2), 1, "affine", 1),
    ]


def test_what_is_no_layer_belongs_to_the_module_around_it(question):
    class Gate(nn.Module):
        def forward(self, x):
            return torch.relu(x) * x.sigmoid()

    found = steps_of(question(nn.Sequential(Gate()), torch.randn(2, 4)))
    assert [(step.op, step.path, step.kind, step.dependents, step.form) for step in found] == [
        ("relu", "net.0", Gate, 1, "elementwise"),
        ("sigmoid", "net.0", Gate, 1, "elementwise"),
        ("mul", "net.0", Gate, 2, "product"),
    ]


def test_counts_how_often_a_layer_runs(question):
    relu = nn.ReLU()
    found = steps_of(question(nn.Sequential(relu, nn.Tanh(), relu), torch.randn(2, 4)))
    assert [(step.op, step.calls) for step in found] == [("relu", 2), ("tanh", 1), ("relu", 2)]


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (lambda x: x + 1, "affine"),
        (lambda x: x * torch.arange(4), "affine"),
        (lambda x: x.mean(1, keepdim=True), "affine"),
        (lambda x: torch.lerp(x, x, torch.ones(4)), "affine"),
        (lambda x: torch.lerp(x, x, x), "product"),
        (lambda x: torch.addmm(x, x, torch.ones(4, 4)), "affine"),
        (lambda x: x * x, "product"),
        (lambda x: torch.bmm(x.unsqueeze(1), x.unsqueeze(2)).squeeze(2), "product"),
        (lambda x: 1 / x, "elementwise"),
        (lambda x: x**3, "elementwise"),
        (lambda x: x.max(1, keepdim=True).values, "pool"),
        (lambda x: x.sort(1).values, "other"),
        (lambda x: x.prod(1, keepdim=True), "other"),
        (lambda x: x * bool(x.isnan().any()), "other"),
        (lambda x: x + torch.rand(4), "other"),
    ],
)
def test_forms(function, form, question):
    class Written(nn.Module):
        def forward(self, x):
            return function(x)

    forms = {step.form for step in record(question(Written(), torch.randn(3, 4)))}
    order = ["other", "pool", "product", "elementwise", "affine"]
    assert min(forms, key=order.index) == form


@pytest.mark.parametrize(
    "name", ["layer norm", "softmax last", "transformer layer", "glu", "rms norm", "overlapping pool"]
)
def test_layers_are_written_out_in_simple_steps(name, zoo_question):
    found = record(zoo_question(name))
    assert all(step.form != "other" for step in found)
    assert not {"native_layer_norm", "_softmax", "glu"} & {step.op for step in found}


def test_recording_gives_what_the_model_gives(exact_case):
    with torch.no_grad():
        expected = exact_case.model({"x": exact_case.inputs["x"].clone()})
    tape = record_pass(exact_case.model, exact_case.inputs)
    torch.testing.assert_close(tape.answer, expected)
    torch.testing.assert_close(tape.values[tape.output], expected)


def test_what_is_handed_in_stays_as_it_was(zoo_question):
    asked = zoo_question("in place first")
    before = asked.inputs["x"].clone()
    record_pass(asked.model, asked.inputs)
    assert torch.equal(asked.inputs["x"], before)


def test_nothing_is_left_behind(question):
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("half way")

    net = nn.Sequential(nn.Linear(4, 4), Broken())
    fast = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ExplanationError, match="half way"):
        record(question(net, torch.randn(2, 4)))
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.is_grad_enabled()


def test_few_rows_are_enough_and_one_is_too_few():
    assert len(audit_rows({"x": torch.zeros(100, 2)})["x"]) == 4
    assert len(audit_rows({"x": torch.zeros(1, 2)})["x"]) == 2


def test_an_answer_without_the_inputs_has_no_slot():
    tape = record_pass(lambda inputs: torch.ones(2, 1), {"x": torch.zeros(2, 3)})
    assert tape.output is None
    assert tape.answer.tolist() == [[1], [1]]
