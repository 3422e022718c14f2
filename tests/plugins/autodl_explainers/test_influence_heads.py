from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Players, Question
from autodl_explainers._influence_heads import head_gradients, held
from autodl_explainers._influence_layers import layers


class Many(nn.Module):
    """A head of its own for each of several predictors."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 2))
        self.bias = nn.Parameter(torch.randn(3 * 2))

    def forward(self, tokens: Tensor) -> Tensor:
        bias = self.bias.view(len(self.weight), 1, -1)
        return torch.baddbmm(bias, tokens.transpose(0, 1), self.weight).transpose(0, 1)


class Body(nn.Module):
    def __init__(self, head: nn.Module, tokens: int) -> None:
        super().__init__()
        self.body, self.tokens, self.head = nn.Linear(3, 4 * max(1, tokens)), tokens, head

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = self.body(inputs["table"]).tanh()
        x = self.head(x.view(len(x), self.tokens, 4) if self.tokens else x)
        return x.mean(1) if self.tokens else torch.as_tensor(x)


HEADS = {
    "linear": (lambda: nn.Linear(4, 2), 0),
    "without bias": (lambda: nn.Linear(4, 2, bias=False), 0),
    "tokens": (lambda: nn.Linear(4, 2), 5),
    "predictors": (Many, 3),
}


@pytest.mark.parametrize("kind", list(HEADS))
def test_inner_products_are_those_of_the_whole_gradients(kind: str) -> None:
    make, tokens = HEADS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Body(make(), tokens).double(), torch.randn(6, 3, dtype=torch.float64)
    asked = Question(model, {"table": x}, 0, {}, Players((), {}), {"table": x}, {"table": x[:1]})
    first, second = head_gradients(asked, [model.head], {"table": x}, lambda out: [out[:, 0], out.square().sum(1)])
    whole = []
    for row in range(6):
        out = model({"table": x[row : row + 1]})
        for value in (out[0, 0], out.square().sum()):
            each = torch.autograd.grad(value, list(model.head.parameters()), retain_graph=True)
            whole.append(torch.cat([g.flatten() for g in each]))
    of_first, of_second = torch.stack(whole[::2]), torch.stack(whole[1::2])
    torch.testing.assert_close(first[0].products(second[0]), of_first @ of_second.T)
    torch.testing.assert_close(second[0].squares(), of_second.square().sum(1))
    assert held(layers(asked)[0][-1:]) >= (first[0].first.shape[1] if tokens else 4 + 2)
    assert all(parameter.grad is None for parameter in model.parameters())
