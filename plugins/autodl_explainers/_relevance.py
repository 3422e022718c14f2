"""Layer-wise relevance, handed back operation by operation over one recorded pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autodl.errors import ExplanationError
from autodl_explainers._forms import MOVES
from autodl_explainers._rescale import Multipliers, pull_back, scatter, unruled
from autodl_explainers._tape import Node, Tape

WEIGHTED: dict[str, tuple[tuple[int, int], int | None]] = {
    "addmm": ((1, 2), 0),
    "baddbmm": ((1, 2), 0),
    "convolution": ((0, 1), 2),
    "linear": ((0, 1), 2),
    "mm": ((0, 1), None),
    "bmm": ((0, 1), None),
    "mv": ((0, 1), None),
}
"""Linear maps by weights: positions of the two factors, one of which is the weights, and of the bias."""


@dataclass(eq=False)
class Relevance:
    """The rules over one pass.

    Attributes:
        gamma: How much more contributions count that have the sign of what they add up to.
        epsilon: Added to the size of what is divided by.
    """

    tape: Tape
    gamma: float
    epsilon: float

    def entries(self, target: int) -> dict[str, Tensor]:
        """Each entry's relevance. Shape: → {input: rows *shape}.

        Raises:
            ExplanationError: Relevance meets an operation that it has no rule for.
        """
        tape = self.tape
        found: dict[int, Tensor] = {}
        if tape.output is not None:
            found[tape.output] = torch.zeros_like(tape.answer)
            found[tape.output][:, target] = tape.answer[:, target]
        for node in reversed(tape.nodes):
            above = [found.pop(out, None) for out in node.outs]
            if all(each is None for each in above):
                continue
            for (_, slot), share in zip(node.operands, self._rule(node, above), strict=True):
                if share is not None:
                    found[slot] = found[slot] + share if slot in found else share
        return {name: found.get(slot, torch.zeros_like(tape.values[slot])) for name, slot in tape.inputs.items()}

    def _rule(self, node: Node, above: Multipliers) -> Multipliers:
        if node.name == "where":
            return self._where(node, above[0])
        if _by_weights(node):
            return [self._gamma(node, above[0])]
        if node.name in MOVES:
            return pull_back(node, self.tape.values, above)
        if node.form == "affine":
            return self._by_value(node, above)
        if node.form == "elementwise":
            return [self._passed_on(node, above[0])]
        if node.form == "pool" and node.name != "logsumexp":
            at = self.tape.values[node.outs[1]]
            return [scatter(node, self._operand(node), at, _there(above[0]))]
        raise ExplanationError(self._refusal(node))

    def _gamma(self, node: Node, above: Tensor | None) -> Tensor:
        """What a weight contributes counts more by gamma where it has the sign of the sum; so does the bias.

        The boosted sum is homogeneous of degree 1 in its input, so that input times gradient shares it out whole.
        """
        (first, second), at = WEIGHTED[node.name]
        place, slot = node.operands[0]
        other = second if place == first else first
        weight, bias = node.leaves[other], None if at is None else node.leaves[at]
        z = self.tape.values[node.outs[0]]

        def mapped(x: Tensor, weights: Tensor) -> Tensor:
            changed: dict[int, Tensor | None] = {place: x, other: weights}
            if at is not None:
                changed[at] = None if bias is None or node.name in ("convolution", "linear") else torch.zeros_like(bias)
            return _with(node, changed)

        with torch.enable_grad():
            x = self.tape.values[slot].detach().requires_grad_()
            ups, downs, right, wrong = x.clamp(min=0), x.clamp(max=0), weight.clamp(min=0), weight.clamp(max=0)
            total = mapped(x, weight)
            if self.gamma:
                rising, falling = mapped(ups, right) + mapped(downs, wrong), mapped(ups, wrong) + mapped(downs, right)
                total = total + self.gamma * torch.where(z >= 0, rising, falling)
            shift = z - mapped(x.detach(), weight).detach()  # what the bias adds
            boosted = shift + self.gamma * torch.where((z >= 0) == (shift >= 0), shift, 0.0)
            share = self._divided(_there(above), total.detach() + boosted)
            (slope,) = torch.autograd.grad(total, x, share)
        return (x * slope).detach()

    def _by_value(self, node: Node, above: Multipliers) -> Multipliers:
        """Every term of a sum gets the share that it has in it."""
        divided: Multipliers = [
            each if each is None else self._divided(each, self.tape.values[out])
            for each, out in zip(above, node.outs, strict=True)
        ]
        points = {slot: self.tape.values[slot] for _, slot in node.operands}
        slopes = pull_back(node, points, divided)
        return [
            slope if slope is None else slope * points[slot]
            for (_, slot), slope in zip(node.operands, slopes, strict=True)
        ]

    def _passed_on(self, node: Node, above: Tensor | None) -> Tensor:
        """An activation keeps the relevance that it gets, if nothing comes of nothing."""
        x = self._operand(node)
        if bool((node.run({node.operands[0][1]: torch.zeros_like(x)})[0] != 0).any()):
            raise ExplanationError(self._refusal(node))
        return _there(above).sum_to_size(x.shape)

    def _where(self, node: Node, above: Tensor | None) -> Multipliers:
        """What was chosen gets all."""
        args, _ = node.arguments(self.tape.values)
        shares = {1: torch.where(args[0], _there(above), 0.0), 2: torch.where(args[0], 0.0, _there(above))}
        return [
            shares[place].sum_to_size(self.tape.values[slot].shape) if place in shares else None
            for place, slot in node.operands
        ]

    def _divided(self, relevance: Tensor, by: Tensor) -> Tensor:
        return torch.where(relevance == 0, 0.0, relevance / (by + self.epsilon * torch.where(by >= 0, 1.0, -1.0)))

    def _operand(self, node: Node) -> Tensor:
        return self.tape.values[node.operands[0][1]]

    def _refusal(self, node: Node) -> str:
        return unruled(self.tape.step(node), "of relevance")


def _by_weights(node: Node) -> bool:
    """Whether relevance passes through weights alone, and not through what is added to the product."""
    if node.name not in WEIGHTED or node.form != "affine":
        return False
    return [place for place, _ in node.operands] in [[factor] for factor in WEIGHTED[node.name][0]]


def _with(node: Node, changed: dict[int, Tensor | None]) -> Tensor:
    """The operation with other leaves."""
    leaves = [changed.get(place, leaf) for place, leaf in enumerate(node.leaves)]
    args, kwargs = torch.utils._pytree.tree_unflatten(leaves, node.tree)
    found: Tensor = node.func(*args, **kwargs)
    return found


def _there(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
