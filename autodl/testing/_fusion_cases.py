"""What fusions are tried on: two inputs whose target is their product or their sum; members alone and in a pack."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Value

SIGNS = torch.tensor([-1.0, -1.0, 1.0, 1.0]), torch.tensor([-1.0, 1.0, -1.0, 1.0])
TARGETS = {"xor": SIGNS[0] * SIGNS[1], "sum": SIGNS[0] + SIGNS[1]}
WIDTH, STEPS, RATE = 8, 300, 0.003
MEMBERS = 3
Case: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Tokens of each input, and where each is present."""


class Pair(nn.Module):
    """A number in each of two inputs → one number, by way of a fusion."""

    def __init__(self, fusion: type[Fusion], settings: Mapping[str, Value]) -> None:
        super().__init__()
        first, width = fusion.heads_first, 1 if fusion.heads_first else WIDTH
        self.encoders = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(1, WIDTH), nn.Tanh(), *[nn.Linear(WIDTH, 1)] * first) for name in "ab"}
        )
        self.fusion = fusion(dict.fromkeys("ab", width), **settings)
        self.head = nn.Identity() if first else nn.Linear(self.fusion.width, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Shape: batch, batch → batch."""
        tokens = {name: self.encoders[name](x.view(-1, 1, 1)) for name, x in (("a", a), ("b", b))}
        outputs: Tensor = self.head(self.fusion(tokens, dict.fromkeys("ab", torch.ones_like(a))))
        return outputs.squeeze(-1)


def learned(fusion: type[Fusion], settings: Mapping[str, Value], target: str, seed: int = 0) -> Tensor:
    """Return what a small network with this fusion says of every pair, once it has learned the target.

    Shape: → the first input's values, the second's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Pair(fusion, settings).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (network(*SIGNS) - TARGETS[target]).square().mean().backward()
            optimizer.step()
    with torch.no_grad():
        outputs: Tensor = network.eval()(*SIGNS).double()
    return outputs.view(2, 2)


def interaction(table: Tensor) -> Tensor:
    """Return what of a table of outputs is left by the best sum of one term for each input.

    Shape:
        table: first second, the output for each value of the first input beside each of the second → the same

    Reference:
        Hessel, Lee: Does my multimodal model learn cross-modal interactions? It's harder to tell than you might think!,
        arXiv 2010.06572, section 3 (empirical multimodally-additive projection).
    """
    return table - table.mean(0, keepdim=True) - table.mean(1, keepdim=True) + table.mean()


def interaction_share(table: Tensor) -> float:
    """Return the part of a table's variance that is interaction. Shape: first second."""
    return float(interaction(table).square().mean() / table.var(correction=0))


def leaves(output: Tensor) -> Iterator[Tensor]:
    """Every tensor that autograd would hand a gradient of this output to."""
    waiting: list[Any] = [output.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [following for following, _ in node.next_functions]


def settings_of_members(fusion: type[Fusion], structure: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The same structure thrice, ``per_member`` knobs at their lowest, default and highest values."""
    ends: dict[str, tuple[Value, Value, Value]] = {}
    for name in structure:
        knob = fusion.space[name]
        if knob.per_member:
            options = knob.options if isinstance(knob, Choice) else (knob.low, knob.high)
            ends[name] = (options[0], knob.center(), options[-1])
    return [{**structure, **{name: values[member] for name, values in ends.items()}} for member in range(MEMBERS)]


def keeps_of(members: Sequence[Fusion], count: int) -> list[dict[str, Tensor]]:
    """For each member, by the name of each dropout: 0 or 1 / (1 - rate). Shape: count *site."""
    generator = torch.Generator().manual_seed(0)
    return [
        {
            name: (torch.rand(count, *part.shape, generator=generator, dtype=torch.float64) >= part.rate)
            / (1 - part.rate)
            for name, part in module.named_modules()
            if isinstance(part, Dropout)
        }
        for module in members
    ]


def run_alone(module: Fusion, case: Case, keeps: Mapping[str, Tensor]) -> Tensor:
    """One member by itself, its dropouts' noise given. Shape: → batch width."""
    for name, keep in keeps.items():
        module.get_submodule(name).keep = keep
    fused: Tensor = module(*case).detach()
    for name in keeps:
        module.get_submodule(name).keep = torch.empty(0, dtype=torch.float64)
    return fused


def run_packed(members: Sequence[Fusion], cases: Sequence[Case], keeps: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """All members at once. Shape: → members batch width."""
    parameters, buffers = torch.func.stack_module_state(list(members))
    skeleton = copy.deepcopy(members[0]).to("meta")  # what is neither parameter nor buffer would stay there
    for name in keeps[0]:
        buffers[f"{name}.keep"] = torch.stack([keep[name] for keep in keeps])

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], tokens: Any, present: Any) -> Tensor:
        fused: Tensor = torch.func.functional_call(skeleton, (parameters, buffers), (tokens, present))
        return fused

    stacked = [{name: torch.stack([case[i][name] for case in cases]) for name in cases[0][i]} for i in (0, 1)]
    fused: Tensor = torch.vmap(one, randomness="different")(parameters, buffers, *stacked)
    return fused.detach()
