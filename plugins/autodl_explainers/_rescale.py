"""DeepLIFT's multipliers, worked out backwards over two recorded passes: one of the rows, one of baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from autodl.attribution import Question
from autodl.errors import ExplanationError
from autodl_explainers._tape import Node, Step, Tape, audit_rows, record, record_pass

NEAR = 16
"""Differences below so many units of rounding are none: the derivative takes their place."""
SELF_TEST = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Share of what flows that may be missing in the audit's rows, which are few: far above rounding."""

Multipliers: TypeAlias = list[Tensor | None]


@dataclass(eq=False)
class Pair:
    """The same network on rows and on their baselines, row by row."""

    rows: Tape
    baselines: Tape

    @classmethod
    def record(
        cls, model: Callable[[dict[str, Tensor]], Tensor], rows: Mapping[str, Tensor], baselines: Mapping[str, Tensor]
    ) -> Pair:
        """Run both.

        Raises:
            ExplanationError: A pass cannot be recorded, or the two differ in what they do.
        """
        pair = cls(record_pass(model, rows), record_pass(model, baselines))
        ours, theirs = (
            [(node.func, node.operands, node.outs) for node in tape.nodes] for tape in (pair.rows, pair.baselines)
        )
        if ours != theirs:
            raise ExplanationError(
                "the network must do the same for every row, however what its forward() does depends on the numbers "
                "in it; use shapley"
            )
        return pair

    def contributions(self, target: int) -> dict[str, Tensor]:
        """What each entry adds to the output on the way from baseline to row. Shape: → {input: rows *shape}."""
        multipliers = self.multipliers(target)
        return {
            name: multipliers[name] * (self.rows.values[slot] - self.baselines.values[slot])
            for name, slot in self.rows.inputs.items()
        }

    def multipliers(self, target: int) -> dict[str, Tensor]:
        """Contribution by difference, for each entry. Shape: → {input: rows *shape}."""
        found: dict[int, Tensor] = {}
        if self.rows.output is not None:
            found[self.rows.output] = torch.zeros_like(self.rows.answer)
            found[self.rows.output][:, target] = 1
        for node in reversed(self.rows.nodes):
            above = [found.pop(out, None) for out in node.outs]
            if all(each is None for each in above):
                continue
            for (_, slot), share in zip(node.operands, self._rule(node, above), strict=True):
                if share is not None:
                    found[slot] = found[slot] + share if slot in found else share
        return {
            name: found.get(slot, torch.zeros_like(self.rows.values[slot])) for name, slot in self.rows.inputs.items()
        }

    def _rule(self, node: Node, above: Multipliers) -> Multipliers:
        if node.form == "elementwise":
            return [self._elementwise(node, above[0])]
        if node.name == "where" and node.form == "product":
            return self._where(node, above[0])
        if node.name == "logsumexp":
            return [self._logsumexp(node, above[0])]
        if node.form == "pool":
            return [self._pool(node, above[0])]
        return self._at_the_middle(node, above)

    def _both(self, slot: int) -> tuple[Tensor, Tensor]:
        return self.rows.values[slot], self.baselines.values[slot]

    def _number(self, value: Tensor) -> Tensor:
        return value if value.is_floating_point() else value.to(self.rows.answer.dtype)

    def _at_the_middle(self, node: Node, above: Multipliers) -> Multipliers:
        """The gradient halfway: exact for what is affine, and for every polynomial of degree 2, as products are."""
        points = {}
        for _, slot in node.operands:
            x, x0 = self._both(slot)
            points[slot] = x if node.form == "affine" else torch.lerp(self._number(x0), self._number(x), 0.5)
        return pull_back(node, points, above)

    def _elementwise(self, node: Node, above: Tensor | None) -> Tensor:
        """Rescale rule: the slope from baseline to row, or the derivative where they are the same but for rounding."""
        assert above is not None
        slot = node.operands[0][1]
        y, y0 = (self._number(each) for each in self._both(node.outs[0]))
        x, x0 = (self._number(each) for each in self._both(slot))
        middle = torch.lerp(x0, x, 0.5).expand_as(y)
        derivative = pull_back(node, {slot: middle}, [torch.ones_like(y), *[None] * (len(node.outs) - 1)])[0]
        derivative = torch.zeros_like(y) if derivative is None else torch.nan_to_num(derivative, 0.0, 0.0, 0.0)
        dx, dy = x - x0, y - y0
        close_x = NEAR * torch.finfo(dx.dtype).eps * (x.abs() + x0.abs())
        close_y = NEAR * torch.finfo(dy.dtype).eps * (y.abs() + y0.abs())
        flat = (dy.abs() <= close_y) & ((derivative * dx).abs() <= close_y)
        near = ~(dx.abs() > close_x) | flat  # so that NaN, as of -inf less -inf, is near
        slope = torch.where(near, derivative, dy / dx)
        return torch.where(above == 0, 0.0, above * slope).sum_to_size(x.shape)

    def _where(self, node: Node, above: Tensor | None) -> Multipliers:
        """A choice is a sum of products, condition times the one and its opposite times the other."""
        assert above is not None
        slots = dict(node.operands)

        def both(position: int) -> tuple[Tensor, Tensor]:
            if position in slots:
                return self._both(slots[position])
            fixed = torch.as_tensor(node.leaves[position], dtype=above.dtype, device=above.device)
            return fixed, fixed

        (c, c0), (a, a0), (b, b0) = (both(position) for position in range(3))
        chosen = (c.to(above.dtype) + c0.to(above.dtype)) / 2
        shares = {
            0: torch.where(c == c0, 0.0, above * (a + a0 - b - b0) / 2),
            1: torch.where(chosen == 0, 0.0, above * chosen),
            2: torch.where(chosen == 1, 0.0, above * (1 - chosen)),
        }
        return [shares[position].sum_to_size(self._both(slot)[0].shape) for position, slot in node.operands]

    def _logsumexp(self, node: Node, above: Tensor | None) -> Tensor:
        """Rescale rule through exp, sum and log, worked out without any of them overflowing."""
        assert above is not None
        x, x0 = self._both(node.operands[0][1])
        y, y0 = self._both(node.outs[0])
        args, kwargs = node.arguments(self.rows.values)
        dims = args[1] if isinstance(args[1], list | tuple) else [args[1]]
        if not (args[2] if len(args) > 2 else kwargs.get("keepdim", False)):
            for dim in sorted(each % x.dim() for each in dims):
                above, y, y0 = above.unsqueeze(dim), y.unsqueeze(dim), y0.unsqueeze(dim)
        top = torch.maximum(y, y0)
        return above * _logarithmic_mean(x - top, x0 - top) / _logarithmic_mean(y - top, y0 - top)

    def _pool(self, node: Node, above: Tensor | None) -> Tensor:
        """What a maximum gains is the row's largest entry's, what it loses the baseline's, by way of the larger one."""
        assert above is not None
        x, x0 = self._both(node.operands[0][1])
        y, y0 = self._both(node.outs[0])
        at, at0 = self._both(node.outs[1])
        higher = torch.maximum(y, y0)
        credit = scatter(node, x, at, above * (higher - y0)) + scatter(node, x, at0, above * (y - higher))
        dx = x - x0
        near = ~(dx.abs() > NEAR * torch.finfo(dx.dtype).eps * (x.abs() + x0.abs()))
        return torch.where(near, scatter(node, x, at, above), credit / dx)


@torch.no_grad()
def objection(question: Question) -> str | None:
    """Why multipliers would be wrong for this network: an operation without a rule, or what does not add up."""
    rows = audit_rows(question.inputs)
    baselines = {name: question.baseline[name].expand_as(x) for name, x in rows.items()}
    try:
        found = next((unruled(step) for step in record(question) if step.form == "other"), None)
        if found is not None:
            return found
        answer = question.model({name: x.clone() for name, x in rows.items()})
        return _gap(Pair.record(question.model, rows, baselines), question.target, answer)
    except (ExplanationError, RuntimeError) as error:
        return str(error)


def unruled(step: Step, rule: str = "that adds up") -> str:
    """The layer and the operation that no such rule is known for."""
    where = f"'{step.path}' ({step.kind.__name__})" if step.path and step.kind else "forward() of the model itself"
    return f"{where} runs '{step.op}', for which there is no rule {rule}; use shapley or integrated_gradients"


def pull_back(node: Node, points: Mapping[int, Tensor], above: Multipliers) -> Multipliers:
    """The node's gradient at these points, times what comes from above; one an operand.

    Raises:
        ExplanationError: The operation has no gradient.
    """
    kind = next(each.dtype for each in above if each is not None)  # marks and positions count as numbers
    points = {
        slot: (x if x.is_floating_point() else x.to(kind)).detach()
        for slot, x in ((slot, points[slot]) for _, slot in node.operands)
    }
    try:
        with torch.enable_grad():
            leaves = {place: points[slot].requires_grad_() for place, slot in node.operands}
            outs = node.run(points)
            kept = [
                (out, each) for out, each in zip(outs, above, strict=True) if each is not None and out.requires_grad
            ]
            if not kept:
                return [None] * len(leaves)
            found = torch.autograd.grad(
                [out for out, _ in kept],
                [points[slot] for slot in points],
                [each.to(out.dtype) for out, each in kept],
                allow_unused=True,
            )
    except RuntimeError as error:
        raise ExplanationError(f"'{node.path}' runs '{node.name}', which has no gradient: {error}") from error
    by_slot = dict(zip(points, found, strict=True))
    return [by_slot.pop(slot, None) for _, slot in node.operands]  # an operand that comes twice has its sum once


def scatter(node: Node, x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Lay values where a pool found its maxima; they add up where windows overlap."""
    flat = torch.zeros_like(x)
    if node.name == "max":
        args, kwargs = node.arguments({slot: x for _, slot in node.operands})
        dim = args[1]
        if not (args[2] if len(args) > 2 else kwargs.get("keepdim", False)):
            at, values = at.unsqueeze(dim), values.unsqueeze(dim)
        return flat.scatter_add_(dim, at, values)
    plane = -3 if "3d" in node.name else -2
    return flat.flatten(plane).scatter_add_(-1, at.flatten(plane), values.flatten(plane)).view_as(x)


def _logarithmic_mean(log_a: Tensor, log_b: Tensor) -> Tensor:
    """(a - b) / (log a - log b), from the logarithms."""
    apart = (log_a - log_b).abs()
    return torch.maximum(log_a, log_b).exp() * torch.where(apart > 0, -torch.expm1(-apart) / apart, 1.0)


def _gap(pair: Pair, target: int, answer: Tensor) -> str | None:
    """The last word is arithmetic's: what passes torch by, as numpy does, shows here."""
    parts = [each.flatten(1) for each in pair.contributions(target).values()]
    whole = (answer - pair.baselines.answer)[:, target]
    total, size = sum(each.sum(1) for each in parts), sum(each.abs().sum(1) for each in parts)
    assert isinstance(total, Tensor)
    scale = whole.abs() + size + answer[:, target].abs() * 1e-3
    if bool(((total - whole).abs() <= SELF_TEST.get(whole.dtype, 5e-2) * scale).all()):
        return None
    return (
        "contributions miss what they should sum to, so that something in forward() must pass torch by "
        "(numpy, a function of its own, an operand that changes from call to call); use shapley"
    )
