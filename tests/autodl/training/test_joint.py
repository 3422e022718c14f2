import math

import pytest
import torch

from autodl.layout import ParameterLayout
from autodl.records import Component, Task, TrialConfig
from autodl.training.joint import InputDropout, JointLoss, there

CPU = torch.device("cpu")
TASK = Task(kind="multiclass", target="y", metric="log_loss", classes=("a", "b", "c"))
LAYOUT = ParameterLayout(
    names=("encoders.0.weight", "encoders.0.bias", "encoders.1.weight", "head.weight"),
    shapes=((2, 3), (3,), (4,), (5,)),
    offsets=(0, 6, 9, 13),
    hidden=(True, False, False, False),
)


def config(**training):
    parts = {"a": Component("tabular"), "b": Component("image")}
    return TrialConfig(parts, parts, Component("cross_entropy"), Component("adamw"), training, epochs=1, seed=0)


def cross_entropy(outputs, targets, settings):
    return -outputs.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def noise(members, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.rand(members, *shape, generator=generator)


def batch(members=2, rows=400):
    inputs = {"b": torch.ones(members, rows, 1, 2, 2), "a": torch.ones(members, rows, 3)}
    inputs["b"][:, :100] = math.nan
    inputs["a"][:, 50:60] = math.nan  # these rows have nothing at all
    return inputs


def test_inputs_are_dropped_as_often_as_asked_and_never_all_of_a_row():
    inputs = batch()
    had = there(inputs)
    left = there(InputDropout([config(input_dropout=0.3), config()], CPU)(inputs, noise(2)))
    assert torch.equal(left[:, 1], had[:, 1])  # this member asks for nothing
    assert (left <= had).all()
    assert torch.equal(left.any(0), had.any(0))
    both = had[:, 0].all(0)
    gone = 1 - left[:, 0][:, both].float().mean(1)
    assert gone.tolist() == pytest.approx([0.3 - 0.045, 0.3 - 0.045], abs=0.07)  # of both, one is spared


def test_where_nobody_asks_nothing_is_touched_and_no_chance_is_drawn():
    inputs = batch()
    assert InputDropout([config()], CPU)(inputs, lambda *shape: pytest.fail("drawn")) is inputs


def outputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 5, 3, 3, generator=generator)  # members batch 1+inputs outputs


GOALS = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
HAD = torch.tensor([[[1, 1, 1, 0, 0]] * 2, [[1, 1, 0, 1, 0]] * 2]).bool()  # inputs members batch


def test_the_loss_is_that_of_the_whole_and_the_mean_of_those_of_inputs_that_are_there():
    said = outputs()
    joint = JointLoss([config(auxiliary=0.5), config(auxiliary=0.0)], cross_entropy, TASK, LAYOUT, CPU)
    found = joint(said, GOALS, {}, HAD)
    whole, first, second = (cross_entropy(each, GOALS, {}) for each in said.unbind(2))
    torch.testing.assert_close(found[1], whole[1])
    expected = whole[0] + 0.5 * torch.stack(
        [(first + second)[0, 0] / 2, (first + second)[0, 1] / 2, first[0, 2], second[0, 3], torch.zeros(())]
    )
    torch.testing.assert_close(found[0], expected)


def test_disagreement_is_the_symmetric_divergence_of_heads_that_are_both_there():
    said = outputs()
    joint = JointLoss([config(alignment=1.0)] * 2, cross_entropy, TASK, LAYOUT, CPU)
    extra = joint(said, GOALS, {}, HAD) - cross_entropy(said[:, :, 0], GOALS, {})
    p, q = said[:, :, 1].log_softmax(-1), said[:, :, 2].log_softmax(-1)
    both_ways = ((p.exp() * (p - q)).sum(-1) + (q.exp() * (q - p)).sum(-1)) / 2
    torch.testing.assert_close(extra[:, :2], both_ways[:, :2])
    assert extra[:, 2:].abs().max() < 1e-6


def test_the_encoder_that_is_ahead_is_slowed_down_and_nothing_else():
    said = torch.zeros(1, 4, 3, 3)
    said[:, :, 1, 0] = 5.0  # the first input's head is sure, and right
    joint = JointLoss([config(balance=0.3)], cross_entropy, TASK, LAYOUT, CPU)
    joint(said, torch.zeros(1, 4, dtype=torch.int64), {}, torch.ones(2, 1, 4).bool())
    gradients = torch.ones(1, 18)
    joint.slow_down(gradients)
    ratio = math.exp(5) / (math.exp(5) + 2) / (1 / 3)
    torch.testing.assert_close(gradients[:, :9], torch.full((1, 9), 1 - math.tanh(0.3 * ratio)))
    assert (gradients[:, 9:] == 1).all()
