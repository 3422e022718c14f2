from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl_explainers import _gradients
from autodl_explainers._gradients import BACKWARD, Column, frozen, leaves, missed, rows_at_once, value_and_gradient


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def test_the_gradient_of_the_sum_is_each_rows_own(question, net):
    rows = torch.randn(4, 6)
    outputs, (found,) = value_and_gradient(Column(question(net, rows, target=1)), (rows.clone().requires_grad_(),))
    jacobian = torch.stack([torch.func.jacrev(net)(row)[1] for row in rows])
    torch.testing.assert_close(found, jacobian)
    torch.testing.assert_close(outputs, net(rows)[:, 1].detach())


def test_an_input_that_is_not_looked_at_has_a_gradient_of_zeros(question, net):
    asked = question(net, torch.randn(2, 6))
    extra = {"a": torch.randn(2, 3)}
    asked = replace(asked, inputs={**asked.inputs, **extra}, baseline={**asked.baseline, "a": torch.zeros(1, 3)})
    found = _gradients.slopes(asked, 1)
    assert list(found) == ["a", "x"]
    assert found["a"].tolist() == [[0.0] * 3] * 2
    assert found["x"].abs().min() > 0


def test_a_first_step_in_place_neither_fails_nor_changes_the_rows(question):
    rows = torch.randn(3, 6)
    before = rows.clone()
    found = _gradients.slopes(question(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 1)), rows), 8)["x"]
    assert torch.equal(rows, before)
    assert torch.equal(found == 0, rows <= 0)


def test_leaves_do_not_mark_the_tensors_handed_in():
    rows = torch.randn(3, 6)
    assert leaves({"x": rows}, ("x",))[0].requires_grad
    assert not rows.requires_grad


def test_frozen_weights_thaw_after_an_error(question, net):
    net[0].bias.requires_grad_(False)
    before = [each.requires_grad for each in net.parameters()]
    asked = question(nn.Sequential(net, nn.Linear(5, 1)), torch.randn(2, 6))
    with frozen(asked):
        assert not any(each.requires_grad for each in net.parameters())
    with pytest.raises(RuntimeError, match="shapes"):
        _gradients.slopes(asked, 2)
    assert [each.requires_grad for each in net.parameters()] == before


def test_rows_at_once_follow_memory_and_width(question, net):
    asked = question(net, torch.randn(4, 6))
    kept = 16 * 4  # tanh keeps what it returns; frozen linear layers keep nothing
    assert rows_at_once(replace(asked, memory=2**16)) == 2**16 // (BACKWARD * kept + _gradients.COPIES * 24 + 1)
    assert rows_at_once(replace(asked, memory=1)) == 1
    assert rows_at_once(replace(asked, memory=2**40)) == _gradients.LARGEST_CHUNK
    wide = question(nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 3)), torch.randn(4, 6))
    assert rows_at_once(replace(wide, memory=2**16)) < rows_at_once(replace(asked, memory=2**16)) / 2


def test_outputs_are_those_of_the_model_whatever_the_chunk(question, net):
    rows = torch.randn(37, 6)
    asked = question(net, rows)
    for memory in (1, 2**12, 2**26):
        torch.testing.assert_close(_gradients.outputs(replace(asked, memory=memory), asked.inputs), net(rows).detach())


def test_missed_is_told_from_rounding():
    outputs, base = torch.tensor([1.0, 1.0, 1e-9]), torch.tensor(0.0)
    shares = torch.tensor([[0.5, 0.5], [0.5, 0.4], [1.0, -1.0]])
    assert missed(shares, outputs, base, 0.05).tolist() == [1]


@pytest.mark.parametrize(
    ("net", "rows", "words"),
    [
        (nn.Linear(6, 2), torch.zeros(3, 6, dtype=torch.long), "int64"),
        (nn.Linear(6, 2), torch.tensor([[0.0] * 6, [float("nan")] * 6]), "missing in 1 of 2 rows"),
    ],
)
def test_objections_to_inputs(question, net, rows, words):
    assert words in _gradients.objection(question(net, rows))


def test_objections_to_models(question, net):
    class Detached(nn.Module):
        def forward(self, x):
            return net(x.round().detach())

    rows = torch.randn(3, 6)
    assert _gradients.objection(question(net, rows)) is None
    mixed = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False))
    assert "the rows beside it" in _gradients.objection(question(mixed.eval(), rows, background=rows + 1))
    assert "no gradient flows" in _gradients.objection(question(Detached(), rows))
    assert "no torch module" in _gradients.objection(replace(question(net, rows), model=lambda x: net(x["x"])))


def test_recurrent_layers_have_gradients(question):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return self.cells(x)[0][:, -1]

    asked = question(Recurrent().eval(), torch.randn(3, 5, 3))
    assert _gradients.objection(asked) is None
    assert _gradients.slopes(asked, 2)["x"].abs().sum() > 0
