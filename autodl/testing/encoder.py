"""What every encoder owes: subclass ``EncoderSuite`` with two fixtures, and pytest does the rest.

Example:
    >>> class TestMine(EncoderSuite):  # doctest: +SKIP
    ...     encoder = pytest.fixture(lambda self: MyEncoder)
    ...     spec = pytest.fixture(lambda self: table_spec(numeric=3, categories=(4, 2)))
"""

from __future__ import annotations

import copy
import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import pytest
import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.records import InputSpec
from autodl.space import Choice, Dimension, Space, Value
from autodl.testing._encoder_cases import image_spec as image_spec
from autodl.testing._encoder_cases import rows as rows
from autodl.testing._encoder_cases import sound_spec as sound_spec
from autodl.testing._encoder_cases import table_spec as table_spec
from autodl.testing._encoder_cases import text_spec as text_spec

MEMBERS = 3
Settings: TypeAlias = dict[str, Value]
T = TypeVar("T")


def build(encoder: type[Encoder], spec: InputSpec, settings: Mapping[str, Any], seed: int = 0) -> Encoder:
    """Return the encoder with the weights that a seed draws, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return encoder(spec, **settings)


def edges(space: Space) -> list[Settings]:
    """Return settings: the defaults, then every end and option of every knob, the others at their defaults."""
    ends = [(name, value) for name, dimension in space.items() for value in _ends(dimension)]
    return _unique([space.defaults(), *(_beside(space, {**_conditions(space, n), n: value}) for n, value in ends)])


class EncoderSuite:
    """Tests of one encoder on one input; a subclass, or its module, has the fixtures ``encoder`` and ``spec``."""

    @pytest.fixture
    def space(self, encoder: type[Encoder], spec: InputSpec) -> Space:
        """The knobs that make sense for this input."""
        assert encoder.accepts(spec), "the suite must get an input that the encoder accepts"
        return encoder.space_for(spec)

    @pytest.fixture
    def networks(self, encoder: type[Encoder], spec: InputSpec, space: Space) -> Iterator[tuple[Settings, Encoder]]:
        """The encoder at every edge of its space, in eval mode."""
        return ((settings, build(encoder, spec, settings).eval()) for settings in edges(space))

    def test_the_space_is_sound(self, encoder: type[Encoder], space: Space) -> None:
        """Each knob says what it does and has a default; narrowing to an input adds no knob and no value."""
        for name, knob in [*encoder.space.items(), *space.items()]:
            assert knob.doc, f"{name} must have a doc"
            assert knob.per_member == encoder.space[name].per_member, name
            assert all(encoder.space[name].allows(value) for value in [*_ends(knob), knob.center()]), name

    def test_shape_and_width_agree(self, spec: InputSpec, networks: Any) -> None:
        """At every edge: ``batch tokens width``; finite, on the baseline too, of which nothing is known."""
        x = torch.cat((rows(spec, 1), spec.baseline.unsqueeze(0)))
        for settings, network in networks:
            tokens = network(x)
            assert tokens.dim() == 3, f"{settings}: tokens must be batch tokens width"
            assert (tokens.shape[0], tokens.shape[2]) == (2, network.width), f"{settings}: rows stay, width holds"
            assert tokens.shape[1] > 0, f"{settings}: there must be a token"
            assert tokens.isfinite().all(), f"{settings}: tokens must be finite"

    def test_a_row_does_not_see_the_others(self, spec: InputSpec, networks: Any) -> None:
        """A prediction must not hang on which rows share its batch; in float64, which must stay float64."""
        x = rows(spec, 3).double()
        for settings, network in networks:
            together, alone = network.double()(x)[1:2], network(x[1:2])
            assert together.dtype == torch.float64, settings
            assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12), settings

    def test_every_parameter_receives_a_gradient(self, spec: InputSpec, networks: Any) -> None:
        """Finite, and not zero everywhere; so does the input, where explainers take it, unless it holds names."""
        for settings, network in networks:
            x = torch.cat((rows(spec, 16), spec.baseline.unsqueeze(0))).requires_grad_()
            tokens = network(x)
            (tokens * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
            inputs = [] if spec.vocabulary else [("the input", x)]
            for name, tensor in [*inputs, *network.named_parameters()]:
                assert tensor.grad is not None, f"{settings}: {name} must take part in forward"
                assert tensor.grad.isfinite().all(), f"{settings}: the gradient of {name} must be finite"
                assert tensor.grad.count_nonzero() > 0, f"{settings}: the gradient of {name} must not be zero"

    def test_a_token_that_is_not_there_is_not_seen(self, spec: InputSpec, networks: Any) -> None:
        """Id 0 is no token: whatever a table holds for it, answers stay."""
        x = rows(spec, 4)
        for settings, network in networks if spec.vocabulary else ():
            expected = network(x)
            with torch.no_grad():
                for table in (each for each in network.parameters() if len(each) == spec.vocabulary):
                    table[0] += 9
            assert torch.equal(network(x), expected), settings

    def test_eval_is_deterministic(self, spec: InputSpec, networks: Any) -> None:
        """Whatever the dropout; and the rows, which live on the device for all epochs, are left as they were."""
        x = rows(spec, 4)
        before = x.clone()
        for settings, network in networks:
            assert torch.equal(network(x), network(x)), settings
        assert torch.equal(x, before)

    def test_settings_survive_json(self, encoder: type[Encoder], spec: InputSpec, networks: Any) -> None:
        """A leaderboard row rebuilds the same weights from the same seed; another seed others, if it draws any."""
        for settings, network in networks:
            read = json.loads(json.dumps(settings))
            assert _same(build(encoder, spec, read), network), settings
            if list(network.parameters()) and _draws(encoder, spec, settings):
                assert not _same(build(encoder, spec, read, seed=1), network), settings

    def test_weights_reload(self, encoder: type[Encoder], spec: InputSpec, networks: Any) -> None:
        """The state of one, loaded into another of the same settings, makes it the same function."""
        x = rows(spec, 2)
        for settings, saved in networks:
            loaded = build(encoder, spec, settings, seed=2).eval()
            loaded.load_state_dict(saved.state_dict())
            assert torch.equal(loaded(x), saved(x)), settings

    def test_members_may_differ_in_per_member_knobs(
        self, encoder: type[Encoder], spec: InputSpec, space: Space
    ) -> None:
        """They change neither modules nor the names and shapes of parameters and buffers."""
        for members in _packs(space):
            first, *others = (build(encoder, spec, settings) for settings in members)
            assert all(_outline(other) == _outline(first) for other in others), members

    def test_a_pack_equals_a_loop(self, encoder: type[Encoder], spec: InputSpec, space: Space) -> None:
        """Members stacked, each with its own weights, rows, rates and noise, gives what each gives alone."""
        cases = [(_members(space, space.defaults()), torch.float32, mode) for mode in (True, False)]
        cases += [(members, torch.float64, True) for members in _packs(space)]
        for settings, dtype, mode in cases:
            members = [build(encoder, spec, each, seed).to(dtype).train(mode) for seed, each in enumerate(settings)]
            x = torch.stack([rows(spec, 2, seed) for seed in range(MEMBERS)]).to(dtype)
            alone = _loop(members, x)
            error = (_pack(members, x, _keeps(members, x)) - alone).abs().max() / alone.abs().max().clamp(min=1)
            assert error <= (1e-5 if dtype == torch.float32 else 1e-12), f"{settings}: members must not mix"

    def test_members_draw_their_own_dropout(self, encoder: type[Encoder], spec: InputSpec, space: Space) -> None:
        """Two members of equal weights and rows part where there is dropout."""
        network = build(encoder, spec, _members(space, space.defaults())[-1]).train()
        if any(part.rate > 0 for part in _dropouts(network).values()):
            first, second, _ = _pack([network] * MEMBERS, rows(spec, 8).expand(MEMBERS, 8, *spec.shape), {})
            assert not torch.equal(first, second)

    def test_autocast_stays_close(self, spec: InputSpec, networks: Any) -> None:
        """bfloat16 has 8 bits: tokens agree to a few per cent of their scale, after fifty layers too."""
        x = rows(spec, 8)
        for settings, network in networks:
            exact = network(x)
            with torch.autocast("cpu", torch.bfloat16):
                tokens = network(x).float()
            assert (tokens - exact).norm() <= 0.08 * exact.norm(), settings

    def test_channels_last_is_the_same(self, spec: InputSpec, networks: Any) -> None:
        """Images may lie in memory either way."""
        x = rows(spec, 2).double()
        for settings, network in networks if len(spec.shape) == 3 else ():
            expected = network.double()(x)
            found = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
            assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10), settings

    def test_no_module_is_used_twice(self, spec: InputSpec, networks: Any) -> None:
        """Explainers hook into modules, and lose one of two uses."""
        for settings, network in networks:
            uses: list[nn.Module] = []
            for part in network.modules():
                part.register_forward_pre_hook(functools.partial(lambda seen, part, _: seen.append(part), uses))
            network(rows(spec, 2))
            assert len(uses) == len(set(uses)), f"{settings}: used more than once: {Counter(uses).most_common(1)}"

    def test_training_takes_one_row_and_changes_no_buffer(self, spec: InputSpec, networks: Any) -> None:
        """The last batch of an epoch may hold one row; running statistics cannot be kept apart in a pack."""
        for settings, network in networks:
            before = {name: buffer.clone() for name, buffer in network.named_buffers()}
            assert network.train()(rows(spec, 1)).isfinite().all(), settings
            assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers()), settings


def _ends(dimension: Dimension) -> list[Value]:
    return list(dimension.options) if isinstance(dimension, Choice) else [dimension.low, dimension.high]


def _conditions(space: Space, name: str) -> Settings:
    """Values of other knobs, within this space, that let the knob count."""
    conditions: Settings = {}
    for other, values in space[name].when.items():
        knob = space[other]
        usable = [value for value in values if not isinstance(knob, Choice) or value in knob.options]
        conditions |= {**_conditions(space, other), other: usable[0]}
    return conditions


def _beside(space: Space, chosen: Settings) -> Settings:
    """The chosen values, and the defaults of the other knobs that count beside them."""
    settings: Settings = {}
    for name, dimension in space.items():
        if dimension.active(settings):
            settings[name] = chosen.get(name, dimension.center())
    return settings


def _members(space: Space, structure: Settings) -> list[Settings]:
    """Settings of three members: ``per_member`` knobs at their first end, default and last end."""
    knobs = {name: space[name] for name in structure if space[name].per_member}
    values = {name: (_ends(knob)[0], knob.center(), _ends(knob)[-1]) for name, knob in knobs.items()}
    return [{**structure, **{name: value[member] for name, value in values.items()}} for member in range(MEMBERS)]


def _packs(space: Space) -> list[list[Settings]]:
    """Settings of the members of one pack, for every structure at an edge."""
    return _unique([_members(space, structure) for structure in edges(space)])


def _unique(items: list[T]) -> list[T]:
    return [item for position, item in enumerate(items) if item not in items[:position]]


def _loop(members: Sequence[Encoder], x: Tensor) -> Tensor:
    """Each member alone. Shape: members batch *shape → members batch tokens width."""
    for name, keep in _keeps(members, x).items():
        for index, member in enumerate(members):
            member.get_submodule(name.removesuffix(".keep")).keep = keep[index]
    return torch.stack([member(row).detach() for member, row in zip(members, x, strict=True)])


def _pack(members: Sequence[Encoder], x: Tensor, keeps: Mapping[str, Tensor]) -> Tensor:
    """All members at once. Shape: as ``_loop``."""
    parameters, buffers = torch.func.stack_module_state(list(members))
    skeleton = copy.deepcopy(members[0]).to("meta")  # a tensor that is neither parameter nor buffer would fail
    call = torch.vmap(lambda p, b, row: torch.func.functional_call(skeleton, (p, b), (row,)), randomness="different")
    outputs: Tensor = call(parameters, {**buffers, **keeps}, x)
    return outputs.detach()


def _keeps(members: Sequence[Encoder], x: Tensor) -> dict[str, Tensor]:
    """Each dropout's factors, 0 or 1 / (1 - rate), as a pack draws them. Shape: {buffer: members batch *site}."""
    generator = torch.Generator().manual_seed(0)
    keeps = {}
    for name, site in _dropouts(members[0]).items():
        rates = [_dropouts(member)[name].rate for member in members]
        uniform = torch.rand(len(members), x.shape[1], *site.shape, generator=generator, dtype=x.dtype)
        keeps[f"{name}.keep"] = torch.stack([(u >= rate) / (1 - rate) for u, rate in zip(uniform, rates, strict=True)])
    return keeps


def _dropouts(network: nn.Module) -> dict[str, Dropout]:
    return {name: part for name, part in network.named_modules() if isinstance(part, Dropout)}


def _outline(network: nn.Module) -> list[tuple[str, Any]]:
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return [*((name, tensor.shape) for name, tensor in tensors), *((n, type(m)) for n, m in network.named_modules())]


def _draws(encoder: type[Encoder], spec: InputSpec, settings: Mapping[str, Any]) -> bool:
    """Whether chance has a part in building it: weights that came with a package are the same for every seed."""
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        encoder(spec, **settings)
        return not torch.equal(torch.get_rng_state(), before)


def _same(first: nn.Module, second: nn.Module) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
