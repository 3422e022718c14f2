from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Players, Question
from autodl_explainers._influence_layers import Caught, Place, gradients, layers


class Small(nn.Module):
    """A convolution, a linear layer that is called twice, and a head; the activation works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)  # made first, called last
        self.convolution = nn.Conv2d(1, 4, 2)
        self.twice = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.activation = nn.ReLU(inplace=True)
        self.unused = nn.Linear(3, 3)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = self.activation(self.convolution(inputs["photo"])).flatten(2).mean(2)
        out: Tensor = self.head(self.norm(self.twice(self.twice(x))))
        return out


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Small(), Small()])

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return torch.stack([torch.as_tensor(part(inputs)).softmax(1) for part in self.parts]).mean(0)


@pytest.fixture
def question() -> Question:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, photos = Pair().eval().requires_grad_(False), torch.randn(5, 1, 3, 3)
    return Question(
        model=model,
        inputs={"photo": photos},
        target=0,
        specs={},
        players=Players(("photo",), {"photo": torch.zeros(1, 3, 3, dtype=torch.long)}),
        background={"photo": photos},
        baseline={"photo": photos[:1]},
        networks=tuple(model.parts),
    )


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_layers_stand_in_the_order_of_their_calls(question: Question) -> None:
    found = layers(question)
    assert len(found) == 2
    for each in found:
        assert [(layer.name, layer.calls, layer.maps, layer.vectors) for layer in each] == [
            ("convolution", 1, True, False),
            ("twice", 2, False, True),
            ("head", 1, False, True),
        ]
        assert [layer.before for layer in each] == [None, (4, 2, 2), (4, 2, 2)]
    assert isinstance(question.model, nn.Module)
    assert hooks(question.model) == 0


def test_what_a_layer_reads_is_a_leaf_too(question: Question) -> None:
    head = question.networks[0].head
    assert isinstance(head, nn.Linear)
    with Caught([Place(head, into=True)]) as caught:
        outputs = question.networks[0](dict(question.inputs))
    ((found,),) = gradients(caught, [outputs[:, 1]])
    torch.testing.assert_close(found, head.weight[1].expand(5, 4))
    torch.testing.assert_close(caught.leaves[0].detach(), caught.inputs[0])


def test_gradients_at_a_layer_are_those_of_what_follows(question: Question) -> None:
    modules = [Place(network.convolution) for network in question.networks]  # type: ignore[arg-type]
    assert isinstance(question.model, nn.Module)
    with Caught(modules) as caught:
        outputs = question.model(dict(question.inputs))
    assert hooks(question.model) == 0
    torch.testing.assert_close(outputs, question.model(dict(question.inputs)))
    first, second = gradients(caught, [outputs[:, 0], outputs[:, 1] ** 2])
    at = caught.leaves[1].detach()
    step = torch.zeros_like(at)
    step[2, 3, 1, 0] = 1e-3
    ends = []
    for sign in (1, -1):
        handle = modules[1].module.register_forward_hook(lambda *_, sign=sign: at + sign * step)
        ends.append(question.model(dict(question.inputs))[2])
        handle.remove()
    torch.testing.assert_close(first[1][2, 3, 1, 0], (ends[0] - ends[1])[0] / 2e-3, rtol=0.02, atol=1e-5)
    torch.testing.assert_close(second[1][2, 3, 1, 0], (ends[0][1] ** 2 - ends[1][1] ** 2) / 2e-3, rtol=0.02, atol=1e-5)


def test_hooks_are_removed_where_the_model_fails(question: Question) -> None:
    assert isinstance(question.model, nn.Module)
    with pytest.raises(KeyError), Caught([Place(question.networks[0].head)]):  # type: ignore[list-item]
        question.model({})
    question.background.clear()  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        layers(question)
    assert hooks(question.model) == 0
