"""What methods that ask for gradients share: one column as a function, chunks that fit the memory, objections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autodl.attribution import Question
from autodl_explainers._objections import first, missing, named, opaque

LARGEST_CHUNK = 8192
"""Rows sent through a model at once, whatever the memory: more of them run slower on a CPU, whose caches they leave."""
BACKWARD, FORWARD = 10, 3
"""Times what autograd keeps of a forward pass, that the way back, or the way there alone, holds at its worst: measured,
with what the allocator keeps to itself."""
COPIES = 8
"""Of the inputs, that a method holds at a time beside what the model does."""
ROUNDING = 1e-5
"""Of the size of the numbers added up: gaps below it are float32's."""
OPAQUE = 64
"""What a model is taken to hold, in inputs, where it cannot be looked into."""


class Column(nn.Module):
    """The explained output as a function of the inputs, in sorted order; layers of the model can be hooked into.

    Shape:
        rows *shape, for each input → rows
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.model, self.names, self.target = question.model, question.names, question.target

    def forward(self, *inputs: Tensor) -> Tensor:
        """The inputs are copied, as a model whose first step is in place must meet no leaf of the graph."""
        named = {name: x.clone() for name, x in zip(self.names, inputs, strict=True)}
        return self.model(named)[:, self.target]


def value_and_gradient(column: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The column, and its gradient towards each input; zeros towards one that it does not look at.

    Rows do not see each other, so that the gradient of the sum holds every row's own.
    """
    with torch.enable_grad():
        outputs = column(*inputs)
        found = torch.autograd.grad(outputs.sum(), inputs, allow_unused=True)
    filled = (torch.zeros_like(x) if each is None else each for x, each in zip(inputs, found, strict=True))
    return outputs.detach(), tuple(filled)


def leaves(inputs: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
    """The inputs in order, ready for gradients; the tensors handed in are left as they are."""
    return tuple(inputs[name].detach().requires_grad_() for name in names)


@contextmanager
def frozen(question: Question) -> Iterator[None]:
    """No gradient is kept for weights inside, which would hold every layer's input."""
    model = question.model
    parameters = [each for each in model.parameters() if each.requires_grad] if isinstance(model, nn.Module) else []
    recurrent = isinstance(model, nn.Module) and any(isinstance(each, nn.RNNBase) for each in model.modules())
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        # cuDNN refuses to go backward through recurrent layers in evaluation mode
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
            yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_()


def rows_at_once(question: Question, passes: int = BACKWARD) -> int:
    """Rows that can go through the model at once within the question's memory."""
    entries = sum(x[:1].nbytes for x in question.inputs.values())
    held = OPAQUE * entries
    if isinstance(question.model, nn.Module):
        with frozen(question):
            held = max(0, _kept(question, 2) - _kept(question, 1))
    return int(min(LARGEST_CHUNK, max(1, question.memory // (passes * held + COPIES * entries + 1))))


@torch.no_grad()
def outputs(question: Question, inputs: Mapping[str, Tensor]) -> Tensor:
    """All outputs of some rows. Shape: {input: rows *shape} → rows outputs."""
    rows, size = len(next(iter(inputs.values()))), rows_at_once(question, FORWARD)
    return torch.cat([question.model(rows_of(inputs, slice(at, at + size))) for at in range(0, rows, size)])


def missed(shares: Tensor, outputs: Tensor, base: Tensor, share: float) -> Tensor:
    """Rows whose shares miss f(x) - f(baseline) by more than a share of it, and by more than rounding.

    Shape: rows shares, rows, () → rows found.
    """
    gap = (shares.sum(1) - (outputs - base)).abs()
    noise = ROUNDING * (outputs.abs() + base.abs() + shares.abs().sum(1))
    return ((gap > share * (outputs - base).abs()) & (gap > noise)).nonzero().flatten()


def chunks(question: Question, rows: int) -> Iterator[Question]:
    """The same question about some rows at a time."""
    for start in range(0, len(question), rows):
        yield question.at(slice(start, start + rows))


def rows_of(inputs: Mapping[str, Tensor], rows: slice) -> dict[str, Tensor]:
    """Some rows of every input."""
    return {name: inputs[name][rows] for name in sorted(inputs)}


def joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Chunks of rows, one below the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def slopes(question: Question, rows: int) -> dict[str, Tensor]:
    """Gradients, so many rows at a time. Shape: → {input: rows *shape}."""
    with frozen(question):
        column = Column(question)
        found = [value_and_gradient(column, leaves(part.inputs, part.names))[1] for part in chunks(question, rows)]
    return joined([dict(zip(question.names, each, strict=True)) for each in found])


def objection(question: Question) -> str | None:
    """Why there is no gradient towards these inputs, or none of each row's own, or None."""
    return first(opaque(question), named(question)) or towards_some(question)


def towards_some(question: Question) -> str | None:
    """The same, where inputs that hold names may get none."""
    return first(opaque(question), _integers(question), missing(question)) or mixing(question) or _blocked(question)


@torch.no_grad()
def mixing(question: Question) -> str | None:
    """Rows must not see each other: what one answers may not change with what stands beside it."""
    answers = []
    for beside in (question.baseline, rows_of(question.background, slice(0, 1)), rows_of(question.inputs, slice(0, 1))):
        pair = {name: torch.cat((question.baseline[name], beside[name])) for name in question.names}
        answers.append(question.model(pair)[0])
    if all(torch.allclose(answers[0], each, rtol=1e-4, atol=1e-5, equal_nan=True) for each in answers[1:]):
        return None
    return (
        "the model's answer to a row changes with the rows beside it, or by chance, so that there is nothing to "
        "explain in a row by itself; keep running statistics in its normalisation, and call eval()"
    )


def _integers(question: Question) -> str | None:
    for name in question.names:
        if not question.inputs[name].is_floating_point():
            kind = str(question.inputs[name].dtype).removeprefix("torch.")
            return f"input '{name}' holds {kind} numbers, towards which there is no gradient; use shapley"
    return None


def _blocked(question: Question) -> str | None:
    inputs = leaves(question.baseline, question.names)
    with frozen(question), torch.enable_grad():
        outputs = Column(question)(*inputs)
        found = torch.autograd.grad(outputs.sum(), inputs, allow_unused=True) if outputs.requires_grad else ()
    if any(each is not None for each in found):
        return None
    return (
        f"no gradient flows from the outputs of {type(question.model).__name__} back to its inputs "
        "(detached, rounded, or looked up on the way); use shapley"
    )


def _kept(question: Question, rows: int) -> int:
    """Bytes that autograd keeps of a forward pass."""
    inputs = leaves({name: x.expand(rows, *x.shape[1:]) for name, x in question.baseline.items()}, question.names)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        Column(question)(*inputs)
    return sum(kept.values())
