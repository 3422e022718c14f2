from __future__ import annotations

import torch
from torch import nn

from autodl_explainers._nodes import Slot
from autodl_explainers._tape import record_pass


def tape_of(function, x):
    return record_pass(lambda inputs: function(inputs["x"]), {"x": x})


def test_a_node_runs_again_on_other_values():
    tape = tape_of(lambda x: torch.cat([x, x.tanh()], 1), torch.randn(2, 3))
    node = next(node for node in tape.nodes if node.name == "cat")
    assert [place for place, _ in node.operands] == [0, 1]
    assert node.leaves[0] == Slot(node.operands[0][1])
    (found,) = node.run({slot: torch.full((1, 1), float(slot)) for _, slot in node.operands})
    assert found.tolist() == [[slot for _, slot in node.operands]]


def test_values_that_share_memory_count_once():
    plain = tape_of(lambda x: x.exp(), torch.zeros(4, 8))
    views = tape_of(lambda x: x.exp().view(8, 4).t().t().view(4, 8), torch.zeros(4, 8))
    assert plain.bytes == views.bytes == 4 * 4 * 4 * 8  # the rows, their copy, exp, the answer's copy


def test_the_outline_tells_what_is_run_and_not_on_what():
    def outline(function, x):
        return tape_of(function, x).outline()

    assert outline(torch.tanh, torch.zeros(2, 3)) == outline(torch.tanh, torch.ones(2, 3))
    assert outline(torch.tanh, torch.zeros(2, 3)) != outline(torch.relu, torch.zeros(2, 3))
    assert outline(lambda x: x.tanh() * x, torch.zeros(2, 3)) != outline(lambda x: x * x.tanh(), torch.zeros(2, 3))


def test_a_step_counts_the_runs_of_its_module():
    relu = nn.ReLU()

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = relu

        def forward(self, inputs):
            return self.relu(-self.relu(inputs["x"]))

    tape = record_pass(Twice(), {"x": torch.zeros(2, 3)})
    assert [tape.step(node).calls for node in tape.nodes if node.name == "relu"] == [2, 2]
