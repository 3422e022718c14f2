"""Gradients with respect to the weights of last layers, row by row, and their inner products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autodl.attribution import Question
from autodl_explainers._influence_layers import Caught, Layer, Place, gradients


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradients of some rows at one layer.

    That of a linear layer on a vector is the outer product of what came in, with a 1 for the bias, and the gradient at
    what went out; it is kept as these two. Of any other layer the first is the whole gradient and the second is 1.

    Shape:
        first: rows entries
        second: rows entries
    """

    first: Tensor
    second: Tensor

    def products(self, other: Gradients) -> Tensor:
        """Inner products with the gradients of other rows. Shape: → rows others."""
        return (self.first @ other.first.T) * (self.second @ other.second.T)

    def squares(self) -> Tensor:
        """Squared norms. Shape: → rows."""
        return self.first.square().sum(1) * self.second.square().sum(1)


Values = Callable[[Tensor], Sequence[Tensor]]
"""Outputs → numbers a row, of each of which gradients are taken."""


def head_gradients(
    question: Question, heads: Sequence[nn.Module], inputs: Mapping[str, Tensor], values: Values
) -> list[list[Gradients]]:
    """For each number, the gradients of all rows at each head."""
    with torch.enable_grad(), Caught([Place(head) for head in heads]) as caught:
        numbers = values(question.model(dict(inputs)))
    found = gradients(caught, numbers)
    return [
        [_at(head, into, out) for head, into, out in zip(heads, caught.inputs, each, strict=True)] for each in found
    ]


def held(heads: Sequence[Layer]) -> int:
    """Numbers that the gradients of one row take."""
    return sum(
        sum(head.module.weight.shape) + 1
        if type(head.module) is nn.Linear and head.vectors
        else sum(each.numel() for each in head.module.parameters())
        for head in heads
    )


def _at(head: nn.Module, into: Tensor, out: Tensor) -> Gradients:
    if type(head) is nn.Linear and into.dim() == 2:
        bias = into.new_ones(len(into), 0 if head.bias is None else 1)
        return Gradients(torch.cat([into, bias], 1), out)
    parameters = {name: each.detach() for name, each in head.named_parameters()}

    def along(weights: dict[str, Tensor], x: Tensor, way: Tensor) -> Tensor:
        answer: Tensor = torch.func.functional_call(head, weights, (x.unsqueeze(0),))
        return (answer.squeeze(0) * way).sum()

    each = torch.vmap(torch.func.grad(along), in_dims=(None, 0, 0))(parameters, into, out)
    flat = torch.cat([each[name].flatten(1) for name in sorted(each)], 1)
    return Gradients(flat, flat.new_ones(len(flat), 1))
