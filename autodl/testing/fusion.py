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
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from autodl.contracts import Fusion
from autodl.space import Value
from autodl.testing._fusion_cases import (
    MEMBERS,
    Case,
    interaction,
    interaction_share,
    keeps_of,
    learned,
    leaves,
    run_alone,
    run_packed,
    settings_of_members,
)
from autodl.testing.encoder import edges

TOKENS = {"text": 4, "image": 2, "table": 1}  # tokens of each input


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

    ``widths`` may be replaced, where the fusion cannot do with those.
    """

    @pytest.fixture
    def widths(self, fusion: type[Fusion]) -> dict[str, int]:
        """Width of the tokens of each input, not in sorted order; what heads say is equally wide."""
        return {"text": 4, "image": 4, "table": 4} if fusion.heads_first else {"text": 5, "image": 3, "table": 4}

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

    @pytest.mark.parametrize("count", [1, 2, 8])
    def test_any_number_of_inputs(self, fusion: Any, variants: Any, count: int) -> None:
        """One is enough, many neither explode nor vanish, and of all that is learned nothing lies idle.

        Tokens of a single number too, and any number of tokens.
        """
        names = [f"input {place}" for place in range(count)]
        sizes = dict.fromkeys(names, 3) if fusion.heads_first else dict(zip(names, [1, 8, 20] * 3, strict=False))
        for settings in variants:
            module = build(fusion, sizes, settings).eval()
            tokens, present = rows(sizes, 40)
            if not fusion.heads_first:
                tokens[names[0]] = torch.randn(40, 100, sizes[names[0]], generator=torch.Generator().manual_seed(1))
            fused = module(tokens, present)
            assert fused.shape == (40, module.width), settings
            assert 0.001 < fused.std(0).norm() / module.width**0.5 < 10, f"{settings}: entries must be of usual size"
            _give_back(module, fused, settings)

    def test_all_that_learns_is_registered_and_trained(self, fusion: Any, widths: Any, variants: Any) -> None:
        """What ``parameters()`` does not name no optimizer moves, no file keeps; after one step each has moved."""
        for settings in variants:
            module = build(fusion, widths, settings).train()
            fused = module(*rows(widths, 12))
            known = {id(parameter) for parameter in module.parameters()}
            for leaf in leaves(fused):
                assert id(leaf) in known, f"{settings}: a tensor of shape {tuple(leaf.shape)} must be registered"
            before = copy.deepcopy(module.state_dict())
            _give_back(module, fused, settings)
            if known:
                torch.optim.SGD(module.parameters(), lr=0.1).step()
            for name, parameter in module.named_parameters():
                assert not torch.equal(parameter, before[name]), f"{settings}: {name} must move"

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
            _give_back(module, fused, settings)
            for name, token in tokens.items():
                assert token.grad is not None, f"{settings}: {name} must take part in forward"
                reached = token.grad.flatten(1).abs().sum(1) > 0
                assert torch.equal(reached, present[name] > 0), f"{settings}: rows of {name} that a gradient reaches"

    def test_a_product_is_an_interaction(self, fusion: Any, variants: Any) -> None:
        """With some settings a network learns a · b, all of which is interaction; an additive one learns none of it."""
        if fusion.additive:
            tables = [learned(fusion, settings, "xor") for settings in variants]
            assert max(float(interaction(table).abs().max()) for table in tables) < 1e-5
            return
        shares = []
        for settings in variants:
            table = learned(fusion, settings, "xor")
            shares.append(interaction_share(table) if table.var(correction=0) > 0.5 else 0.0)
            if shares[-1] > 0.95:
                return
        raise AssertionError(f"a · b must be learned as an interaction, however shares are {shares}")

    def test_a_sum_is_none(self, fusion: Any) -> None:
        """A network that has learned a + b sees no interaction where there is none."""
        table = learned(fusion, fusion.space.defaults(), "sum")
        assert 1.8 < table.var(correction=0) < 2.2, "a + b must be learned"
        assert interaction_share(table) < 0.05

    def test_eval_is_deterministic(self, fusion: Any, widths: Any) -> None:
        """Even with every dropout at its highest."""
        module = build(fusion, widths, settings_of_members(fusion, fusion.space.defaults())[-1]).eval()
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
                for seed, settings in enumerate(settings_of_members(fusion, structure))
            ]
            keeps = keeps_of(members, 5)
            alone = torch.stack([run_alone(*each) for each in zip(members, cases, keeps, strict=True)])
            torch.testing.assert_close(run_packed(members, cases, keeps), alone, rtol=0, atol=1e-12, msg=str(structure))


def _give_back(module: Fusion, fused: Tensor, settings: Mapping[str, Value]) -> None:
    """Go backwards from a weighted sum of the result; every parameter must get a gradient."""
    torch.autograd.backward(fused, torch.randn(fused.shape, generator=torch.Generator().manual_seed(1)))
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{settings}: {name} must take part in forward"
        assert parameter.grad.isfinite().all(), f"{settings}: the gradient of {name} must be finite"
        assert parameter.grad.count_nonzero() > 0, f"{settings}: the gradient of {name} must not be zero"


def _turned(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in reversed(list(mapping))}


def _subsets(names: Mapping[str, int]) -> list[tuple[str, ...]]:
    return [part for size in range(len(names) + 1) for part in itertools.combinations(names, size)]


def _row(tensors: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: tensor[row : row + 1] for name, tensor in tensors.items()}


def _doubled(case: Case) -> Case:
    tokens, present = case
    return {k: v.double() for k, v in tokens.items()}, {k: v.double() for k, v in present.items()}
