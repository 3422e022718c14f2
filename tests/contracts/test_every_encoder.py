"""Every registered encoder, on every kind of input that it accepts."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autodl import registry
from autodl.contracts import Dropout, Encoder
from autodl.records import InputSpec
from autodl.space import Float, Integer, Space
from autodl.testing.encoder import EncoderSuite, build, edges, image_spec, sound_spec, table_spec, text_spec

SPECS = {
    "numbers_and_categories": table_spec(numeric=3, categories=(4, 2)),
    "categories": table_spec(numeric=0, categories=(3, 2)),
    "one_number": table_spec(numeric=1),
    "1x8x8": image_spec(1, 8, 8),
    "1x28x28": image_spec(1, 28, 28),
    "3x17x23": image_spec(3, 17, 23),
    "128x2x2": image_spec(128, 2, 2),
    "sound_32x40": sound_spec(32, 40),
    "sound_8x70": sound_spec(8, 70),
    "12_of_30_ids": text_spec(12, vocabulary=30),
    "2_of_5_ids": text_spec(2, vocabulary=5),
    "12_vectors": text_spec(12, entries=6),
}
LARGER = {"1x33x40": image_spec(1, 33, 40)}  # for encoders that take none of the above, as each test takes its time


def accepted(name: str) -> dict[str, InputSpec]:
    encoder = registry.encoders.load(name)
    some = {label: spec for label, spec in SPECS.items() if encoder.accepts(spec)}
    return some or {label: spec for label, spec in LARGER.items() if encoder.accepts(spec)}


CASES = [
    pytest.param((registry.encoders.load(name), spec), id=f"{name}-{label}")
    for name in registry.encoders.names()
    for label, spec in accepted(name).items()
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[type[Encoder], InputSpec]:
    return request.param


class TestEveryEncoder(EncoderSuite):
    @pytest.fixture
    def encoder(self, case: tuple[type[Encoder], InputSpec]) -> type[Encoder]:
        return case[0]

    @pytest.fixture
    def spec(self, case: tuple[type[Encoder], InputSpec]) -> InputSpec:
        return case[1]


@pytest.mark.parametrize("name", registry.encoders.names())
def test_every_encoder_accepts_some_input(name: str) -> None:
    assert accepted(name)


class Sound(Encoder):
    """A small encoder that keeps the contract; the classes below break one rule each."""

    space: ClassVar[Space] = Space(
        depth=Integer(1, 2, doc="layers", default=1), rate=Float(0.0, 0.5, per_member=True, doc="dropout", default=0.2)
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return True

    def __init__(self, spec: InputSpec, depth: int, rate: float) -> None:
        super().__init__()
        self.width = 8
        self.flatten = nn.Flatten()
        self.first = nn.Linear(spec.baseline.numel(), 8)
        self.layers = nn.Sequential(*(nn.Linear(8, 8) for _ in range(depth)))
        self.activation = nn.Tanh()
        self.dropout = Dropout(rate, (8,))

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.layers(self.first(self.flatten(x))))).unsqueeze(1)


class ForgetsTokens(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(1)


class WrongWidth(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.width = 9


class NotANumberOnTheBaseline(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / x.flatten(1).norm(dim=1).view(-1, 1, 1)


class Undocumented(Sound):
    space: ClassVar[Space] = Sound.space.with_changes(depth=Integer(1, 2))


class DefaultBeyondItsRange(Sound):
    space: ClassVar[Space] = Sound.space.with_changes(depth=Integer(1, 2, doc="layers", default=3))


class WidensItsSpace(Sound):
    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        return cls.space.with_changes(depth=Integer(1, 3, doc="layers"))


class MixesRows(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class AlwaysFloat32(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class UnusedParameter(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.unused = nn.Parameter(torch.ones(1))


class DeadParameter(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.dead = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * self.dead


class NoGradientAtTheInput(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


class SeesNoToken(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.table = nn.Embedding(spec.vocabulary, 8)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.table(x[:, :, 0].long()).mean(1, keepdim=True)


class RandomInEval(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.rand_like(x))


class ChangesItsInput(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(1.5))


class SeedsItself(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        torch.manual_seed(0)
        super().__init__(spec, **settings)


class ForgetsState(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.register_buffer("shift", torch.randn(1, 1, 8), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.get_buffer("shift")


class MemberChangesShapes(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.extra = nn.Linear(8, 1 + int(settings["rate"] * 10))


class MemberAsNumber(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.factor = 1 + settings["rate"]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


class OneNoiseForAll(Sound):
    """A dropout of its own, whose noise is not a member's."""

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.dropout.off = True
        self.register_buffer("noise", torch.rand(8, generator=torch.Generator().manual_seed(0)).round())

    def forward(self, x: Tensor) -> Tensor:
        tokens = super().forward(x)
        return tokens * self.get_buffer("noise") if self.training else tokens


class LosesBits(Sound):
    def forward(self, x: Tensor) -> Tensor:
        far = torch.full_like(self.flatten(x), 1e4)
        return super().forward(x) + (self.first(self.flatten(x) + far) - self.first(far)).unsqueeze(1)


class ReadsMemoryOrder(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.as_strided(x, x.shape, torch.empty(x.shape).stride()))


class UsesAModuleTwice(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return self.activation(super().forward(x))


class RunningStatistics(Sound):
    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec, **settings)
        self.register_buffer("rows", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("rows").add_(len(x))
        return super().forward(x)


class NeedsTwoRows(Sound):
    def forward(self, x: Tensor) -> Tensor:
        tokens = super().forward(x)
        return tokens / (len(x) - 1) if self.training else tokens


BREACHES = {
    ForgetsTokens: "test_shape_and_width_agree",
    WrongWidth: "test_shape_and_width_agree",
    NotANumberOnTheBaseline: "test_shape_and_width_agree",
    Undocumented: "test_the_space_is_sound",
    DefaultBeyondItsRange: "test_the_space_is_sound",
    WidensItsSpace: "test_the_space_is_sound",
    MixesRows: "test_a_row_does_not_see_the_others",
    AlwaysFloat32: "test_a_row_does_not_see_the_others",
    UnusedParameter: "test_every_parameter_receives_a_gradient",
    DeadParameter: "test_every_parameter_receives_a_gradient",
    NoGradientAtTheInput: "test_every_parameter_receives_a_gradient",
    SeesNoToken: "test_a_token_that_is_not_there_is_not_seen",
    RandomInEval: "test_eval_is_deterministic",
    ChangesItsInput: "test_eval_is_deterministic",
    SeedsItself: "test_settings_survive_json",
    ForgetsState: "test_weights_reload",
    MemberChangesShapes: "test_members_may_differ_in_per_member_knobs",
    MemberAsNumber: "test_a_pack_equals_a_loop",
    OneNoiseForAll: "test_members_draw_their_own_dropout",
    LosesBits: "test_autocast_stays_close",
    ReadsMemoryOrder: "test_channels_last_is_the_same",
    UsesAModuleTwice: "test_no_module_is_used_twice",
    RunningStatistics: "test_training_takes_one_row_and_changes_no_buffer",
    NeedsTwoRows: "test_training_takes_one_row_and_changes_no_buffer",
}
SUITE = [name for name in dir(EncoderSuite) if name.startswith("test_")]


def judge(encoder: type[Encoder], test: str) -> None:
    """Run one test of the suite by hand."""
    spec = text_spec(6, vocabulary=11) if "token" in test else image_spec(2, 3, 4)
    networks = ((settings, build(encoder, spec, settings).eval()) for settings in edges(encoder.space_for(spec)))
    fixtures = {"encoder": encoder, "spec": spec, "space": encoder.space_for(spec), "networks": networks}
    method = getattr(EncoderSuite(), test)
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


@pytest.mark.parametrize("test", SUITE)
def test_the_suite_passes_a_sound_encoder(test: str) -> None:
    judge(Sound, test)


@pytest.mark.parametrize("encoder", BREACHES, ids=lambda encoder: encoder.__name__)
def test_the_suite_finds_a_breach(encoder: type[Encoder]) -> None:
    with pytest.raises(AssertionError):
        judge(encoder, BREACHES[encoder])


def test_every_test_of_the_suite_can_fail() -> None:
    assert set(BREACHES.values()) == set(SUITE)
