"""What every fusion owes: subclass ``FusionSuite`` with one fixture, and pytest does the rest.

Example:
    >>> class TestMine(FusionSuite):  # doctest: +SKIP
    ...     @pytest.fixture
    ...     def fusion(self):
    ...         return MyFusion
"""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Value
from autodl.testing.encoder import edges

MEMBERS = 3
TOKENS = {"text": 4, "image": 2, "table": 1}  # tokens of each input
Case: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor]]


def build(fusion: type[Fusion], widths: Mapping[str, int], settings: Mapping[str, Any], seed: int = 0) -> Fusion:
    """Return the fusion with the weights that a seed draws, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fusion(widths, **settings)


def rows(widths: Mapping[str, int], count: int, seed: int = 0) -> Case:
    """Return tokens, and inputs missing in turn: the first row lacks none, the last one all.

    Shape: → {input: count tokens width}, {input: count}.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = {name: torch.randn(count, TOKENS.get(name, 2), widths[name], generator=generator) for name in widths}
    present = {}
    for position, name in enumerate(widths):
        turns = torch.arange(count) % len(widths) != position
        turns[:1], turns[1:][-1:] = True, False
        present[name] = turns.float()
    return tokens, present


class FusionSuite:
    """Tests of one fusion; a subclass, or its module, has the fixture ``fusion``.

    ``widths`` may be replaced, where the fusion asks for inputs of equal width.
    """

    @pytest.fixture
    def widths(self) -> dict[str, int]:
        """Width of the tokens of each input, not in sorted order."""
        return {"text": 5, "image": 3, "table": 4}

    @pytest.fixture
    def variants(self, fusion: type[Fusion]) -> list[dict[str, Value]]:
        """Settings that together meet each end and each option of each knob."""
        return list(edges(fusion.space))

    def test_every_knob_is_documented(self, fusion: type[Fusion]) -> None:
        """Each knob says what it does, and its default is a value that the component takes."""
        for name, dimension in fusion.space.items():
            assert dimension.doc, f"{name} must have a doc"
            assert dimension.allows(dimension.center()), f"the default of {name} must be a value of it"

    @pytest.mark.parametrize("count", [1, 6])
    def test_width_is_that_of_the_output(self, fusion: Any, widths: Any, variants: Any, count: int) -> None:
        """Training batches of one row included."""
        for settings in variants:
            module = build(fusion, widths, settings).train()
            fused = module(*rows(widths, count))
            assert fused.shape == (count, module.width), settings
            assert fused.isfinite().all(), settings

    def test_one_input_is_enough(self, fusion: Any, widths: Any, variants: Any) -> None:
        """A fusion is told how many inputs there are, and takes any number."""
        for settings, name in itertools.product(variants, widths):
            only = {name: widths[name]}
            module = build(fusion, only, settings)
            assert module(*rows(only, 3)).shape == (3, module.width)

    def test_order_of_dictionaries_is_irrelevant(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Inputs are known by name: the same seed gives the same function, whatever the order of the dictionaries."""
        tokens, present = rows(widths, 6)
        for settings in variants:
            module = build(fusion, widths, settings).eval()
            other = build(fusion, _turned(widths), settings).eval()
            assert torch.equal(module(tokens, present), module(_turned(tokens), _turned(present))), settings
            assert torch.equal(module(tokens, present), other(tokens, present)), settings

    def test_any_inputs_may_be_missing(self, fusion: Any, widths: Any, variants: Any) -> None:
        """What stands in a missing input's tokens changes nothing; that it is missing changes something."""
        tokens, others = rows(widths, 4, seed=1)[0], rows(widths, 4, seed=2)[0]
        for settings in variants:
            module = build(fusion, widths, settings).eval()
            whole = module(tokens, {name: torch.ones(4) for name in widths})
            for gone in _subsets(widths):
                present = {name: torch.full((4,), float(name not in gone)) for name in widths}
                replaced = {name: (others if name in gone else tokens)[name] for name in widths}
                fused = module(tokens, present)
                assert fused.isfinite().all(), f"{settings}: without {gone}"
                assert torch.equal(fused, module(replaced, present)), f"{settings}: {gone} must not be seen"
                assert not gone or not torch.equal(fused, whole), f"{settings}: {gone} must be told from present"

    def test_a_row_does_not_see_the_others(self, fusion: Any, widths: Any, variants: Any) -> None:
        """A prediction must not hang on which rows share its batch."""
        tokens, present = _doubled(rows(widths, 6))
        for settings, row in itertools.product(variants, range(6)):
            module = build(fusion, widths, settings).double().eval()
            alone = module(_row(tokens, row), _row(present, row))
            together = module(tokens, present)[row : row + 1]
            torch.testing.assert_close(alone, together, rtol=0, atol=1e-12, msg=str(settings))

    def test_gradients_reach_everything(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Every parameter, and the tokens of every input in exactly those rows where it is present."""
        for settings in variants:
            tokens, present = rows(widths, 12)
            tokens = {name: token.requires_grad_() for name, token in tokens.items()}
            module = build(fusion, widths, settings).eval()
            fused = module(tokens, present)
            (fused * torch.randn(fused.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
            for name, parameter in module.named_parameters():
                assert parameter.grad is not None, f"{settings}: {name} must take part in forward"
                assert parameter.grad.isfinite().all(), f"{settings}: the gradient of {name} must be finite"
                assert parameter.grad.count_nonzero() > 0, f"{settings}: the gradient of {name} must not be zero"
            for name, token in tokens.items():
                assert token.grad is not None, f"{settings}: {name} must take part in forward"
                reached = token.grad.flatten(1).abs().sum(1) > 0
                assert torch.equal(reached, present[name] > 0), f"{settings}: rows of {name} that a gradient reaches"

    def test_eval_is_deterministic(self, fusion: Any, widths: Any) -> None:
        """Even with every dropout at its highest."""
        module = build(fusion, widths, _members(fusion, fusion.space.defaults())[-1]).eval()
        case = rows(widths, 6)
        assert torch.equal(module(*case), module(*case))

    def test_tokens_are_left_as_they_were(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Explainers read them afterwards."""
        for settings in variants:
            tokens, present = rows(widths, 6)
            before = copy.deepcopy((tokens, present))
            build(fusion, widths, settings).train()(tokens, present)
            for now, then in zip((tokens, present), before, strict=True):
                assert all(torch.equal(now[name], then[name]) for name in widths), settings

    def test_settings_and_weights_survive_saving(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Settings through JSON and weights through the state dictionary make the same function."""
        case = rows(widths, 6)
        for settings in variants:
            saved = build(fusion, widths, settings, seed=1).eval()
            read = json.loads(json.dumps(settings))
            assert read == settings
            loaded = build(fusion, widths, read, seed=2).eval()
            loaded.load_state_dict(saved.state_dict())
            assert torch.equal(loaded(*case), saved(*case)), settings

    def test_no_module_is_used_twice(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Explainers hook into modules, and lose one of two uses."""
        for settings in variants:
            module = build(fusion, widths, settings)
            uses: Counter[str] = Counter()
            for name, part in module.named_modules():
                part.register_forward_hook(lambda *_, name=name, uses=uses: uses.update([name]))
            module(*rows(widths, 2))
            assert max(uses.values()) == 1, f"{settings}: used more than once: {uses}"

    def test_float64_stays_float64(self, fusion: Any, widths: Any, variants: Any) -> None:
        """A tensor of a fixed type on the way would show."""
        for settings in variants:
            assert build(fusion, widths, settings).double()(*_doubled(rows(widths, 2))).dtype == torch.float64, settings

    def test_a_pack_equals_a_loop(self, fusion: Any, widths: Any, variants: Any) -> None:
        """Vmap over stacked members, each with its rows and its ``per_member`` settings, gives what each gives alone.

        In training too, where a pack hands dropouts their noise.
        """
        cases = [_doubled(rows(widths, 5, seed)) for seed in range(MEMBERS)]
        for structure, training in itertools.product(variants, (False, True)):
            members = [
                build(fusion, widths, settings, seed).double().train(training)
                for seed, settings in enumerate(_members(fusion, structure))
            ]
            keeps = _keeps(members, 5)
            alone = torch.stack([_alone(*each) for each in zip(members, cases, keeps, strict=True)])
            torch.testing.assert_close(_packed(members, cases, keeps), alone, rtol=0, atol=1e-12, msg=str(structure))


def _turned(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in reversed(list(mapping))}


def _subsets(names: Mapping[str, int]) -> list[tuple[str, ...]]:
    return [part for size in range(len(names) + 1) for part in itertools.combinations(names, size)]


def _row(tensors: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: tensor[row : row + 1] for name, tensor in tensors.items()}


def _doubled(case: Case) -> Case:
    tokens, present = case
    return {k: v.double() for k, v in tokens.items()}, {k: v.double() for k, v in present.items()}


def _members(fusion: type[Fusion], structure: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The same structure thrice, ``per_member`` knobs at their lowest, default and highest values."""
    ends: dict[str, tuple[Value, Value, Value]] = {}
    for name in structure:
        knob = fusion.space[name]
        if knob.per_member:
            options = knob.options if isinstance(knob, Choice) else (knob.low, knob.high)
            ends[name] = (options[0], knob.center(), options[-1])
    return [{**structure, **{name: values[member] for name, values in ends.items()}} for member in range(MEMBERS)]


def _keeps(members: Sequence[Fusion], count: int) -> list[dict[str, Tensor]]:
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


def _alone(module: Fusion, case: Case, keeps: Mapping[str, Tensor]) -> Tensor:
    for name, keep in keeps.items():
        module.get_submodule(name).keep = keep
    fused: Tensor = module(*case).detach()
    for name in keeps:
        module.get_submodule(name).keep = torch.empty(0, dtype=torch.float64)
    return fused


def _packed(members: Sequence[Fusion], cases: Sequence[Case], keeps: Sequence[Mapping[str, Tensor]]) -> Tensor:
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
