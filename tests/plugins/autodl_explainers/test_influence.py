from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from autodl.attribution import Labelled, Players, Question
from autodl_explainers.influence import Influence


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh())
        self.head = nn.Linear(6, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.head(self.layers(inputs["table"]))
        return out


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([Net(), Net()])

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return torch.stack([torch.as_tensor(member(inputs)) for member in self.members]).mean(0)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def question(model: nn.Module, **changes: Any) -> Question:
    generator, dtype = torch.Generator().manual_seed(0), next(model.parameters()).dtype
    x = torch.randn(20, 3, generator=generator, dtype=dtype)
    y = (x[:, 0] > 0).long()
    asked = Question(
        model=model.eval().requires_grad_(False),
        inputs={"table": torch.randn(4, 3, generator=generator, dtype=dtype)},
        target=1,
        specs={},
        players=Players(("a", "b", "c"), {"table": torch.arange(3)}),
        background={"table": x},
        baseline={"table": x[:1]},
        networks=tuple(model.members) if isinstance(model, Mean) else (model,),
        labelled=Labelled({"table": x}, y, loss),
    )
    return dataclasses.replace(asked, **changes)


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


def brute_force(asked: Question, heads: list[nn.Module], target: int) -> tuple[Tensor, Tensor]:
    """Scores from each row's whole gradient, and the lengths of the labelled rows' gradients."""
    assert asked.labelled is not None
    assert isinstance(asked.model, nn.Module)
    parameters = [each.requires_grad_() for head in heads for each in head.parameters()]

    def gradient(value: Tensor) -> Tensor:
        return torch.cat([each.flatten() for each in torch.autograd.grad(value, parameters)])

    x, labelled, y = asked.inputs["table"], asked.labelled.inputs["table"], asked.labelled.targets
    mine = [gradient(asked.model({"table": row.unsqueeze(0)})[0, target]) for row in x]
    theirs = [
        gradient(loss(asked.model({"table": row.unsqueeze(0)}), label.unsqueeze(0)).sum())
        for row, label in zip(labelled, y, strict=True)
    ]
    asked.model.requires_grad_(False)
    return -torch.stack(mine) @ torch.stack(theirs).T, torch.stack(theirs).norm(dim=1)


@pytest.mark.parametrize("kind", [Net, Mean])
@pytest.mark.parametrize("memory", [1, 20_000, 2**26])
def test_scores_are_inner_products_of_brute_force_gradients(kind: type[nn.Module], memory: int) -> None:
    asked = question(made(kind), memory=memory)
    heads = [network.head for network in asked.networks]
    answers = Influence().attribute_all(asked, [1, 0])
    for found, target in zip(answers, [1, 0], strict=True):
        expected, length = brute_force(asked, heads, target)  # type: ignore[arg-type]
        torch.testing.assert_close(found.found["scores"], expected)
        normalised = Influence(normalised=True).attribute(dataclasses.replace(asked, target=target))
        torch.testing.assert_close(normalised.found["scores"], expected / length)
        assert found.values.shape == (4, 0)
        order = found.found["order"]
        assert order.shape == (4, 10)
        size = expected.abs().gather(1, order)
        assert bool((size.diff(dim=1) <= 0).all())
        torch.testing.assert_close(size[:, 0], expected.abs().amax(1))
    assert answers[0].found["layers"] == ("head",) * len(heads)


def test_a_copy_with_the_other_label_is_found_at_the_extreme() -> None:
    model = made(Net)
    asked = question(model)
    assert asked.labelled is not None
    x, y = asked.labelled.inputs["table"], asked.labelled.targets.clone()
    row = torch.tensor([[1.5, 0.5, -0.5]])
    x, y = torch.cat([x, row]), torch.cat([y, 1 - (row[:, 0] > 0).long()])
    model.requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        loss(model({"table": x}), y).mean().backward()
        optimizer.step()
    predicted = int(model({"table": row}).argmax())
    assert predicted == int(row[0, 0] > 0)
    asked = question(model, inputs={"table": row}, target=predicted, labelled=Labelled({"table": x}, y, loss))
    found = Influence(top=3).attribute(asked).found
    assert found["order"][0, 0] == len(x) - 1
    assert found["scores"].argmin() == len(x) - 1  # it pulled the prediction down


def test_a_step_on_a_row_moves_the_output_as_its_score_says() -> None:
    asked = question(made(Net).double())
    assert asked.labelled is not None
    assert isinstance(asked.model, Net)
    x = asked.labelled.inputs["table"]
    scores = Influence().attribute(asked).found["scores"]
    before = asked.model(dict(asked.inputs))[:, 1].detach()
    weight = asked.model.head.weight.detach().clone()
    parameters = [each.requires_grad_() for each in asked.model.head.parameters()]
    for each, g in zip(
        parameters,
        torch.autograd.grad(loss(asked.model({"table": x[5:6]}), asked.labelled.targets[5:6]).sum(), parameters),
        strict=True,
    ):
        each.data -= 1e-6 * g
    rise = (asked.model(dict(asked.inputs))[:, 1].detach() - before) / 1e-6
    assert not torch.equal(weight, asked.model.head.weight)
    torch.testing.assert_close(scores[:, 5], rise, rtol=1e-4, atol=1e-6)


def test_the_model_and_chance_are_left_alone() -> None:
    asked = question(made(Mean))
    assert isinstance(asked.model, nn.Module)
    before, state = torch.get_rng_state(), {name: each.clone() for name, each in asked.model.state_dict().items()}
    Influence().attribute(asked)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(state[name], each) for name, each in asked.model.state_dict().items())
    assert not any(module._forward_hooks for module in asked.model.modules())
    assert all(each.grad is None and not each.requires_grad for each in asked.model.parameters())


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["table"] @ self.weight


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.layer(self.layer(inputs["table"]))
        return out


def test_models_without_a_last_layer_are_refused_with_a_reason() -> None:
    explainer = Influence()
    assert explainer.objection(question(made(Net))) is None
    opaque = dataclasses.replace(question(made(Net)), model=lambda inputs: inputs["table"])
    assert "no torch module" in str(explainer.objection(opaque))
    assert "calls no layer with weights" in str(explainer.objection(question(Bare())))
    assert "'layer' of network 0 is called 2 times" in str(explainer.objection(question(made(Twice))))
