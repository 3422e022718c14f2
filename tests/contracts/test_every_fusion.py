"""Every registered fusion; each in a network that is explained; and breaches that the suite must find."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autodl import registry
from autodl.attribution import Question
from autodl.contracts import Fusion
from autodl.network import Network
from autodl.records import Component, TrialConfig
from autodl.space import Choice, Space
from autodl.testing._explainer_cases import about
from autodl.testing.encoder import edges, image_spec, table_spec
from autodl.testing.explainer import answered, check
from autodl.testing.fusion import FusionSuite

SPECS = {"table": table_spec(numeric=2, categories=(3,)), "image": image_spec(1, 8, 8)}
COMPLETE = [name for name in registry.explainers.names() if registry.explainers.load(name).complete]


class TestEveryFusion(FusionSuite):
    @pytest.fixture(params=registry.fusions.names())
    def fusion(self, request: pytest.FixtureRequest) -> type[Fusion]:
        return registry.fusions.load(request.param)


def question(fusion: str, settings: Mapping[str, Any]) -> Question:
    """About a network of a table and an image with this fusion, its heads not so small that gaps hide in rounding."""
    encoders = {
        "table": Component("mlp", {"depth": 1, "width": 16}),
        "image": Component("cnn", {"blocks": 1, "channels": 8, "dense_depth": 0}),
    }
    none = Component("")
    config = TrialConfig({}, encoders, none, none, {}, epochs=1, seed=3, fusion=Component(fusion, settings))
    network = Network.seeded(config, SPECS, 3).eval()
    with torch.no_grad():
        for head in (network.head, *network.heads):
            for weights in head.parameters():
                weights.mul_(10.0)
    return about(network, SPECS)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("fusion", registry.fusions.names())
def test_explanations_of_a_network_with_it_add_up_or_are_refused(fusion: str, name: str) -> None:
    explainer = registry.explainers.load(name)()
    asked = question(fusion, registry.fusions.load(fusion).space.defaults())
    for found in answered(explainer, asked, (1,)) or ():
        check(explainer, asked, found)


@pytest.mark.parametrize("fusion", registry.fusions.names())
def test_no_complete_explainer_refuses_a_fusion_of_ours(fusion: str) -> None:
    """DeepLIFT, the pickiest of them, has a rule for each operation, whatever the settings."""
    explainer = registry.explainers.load("deep_lift")()
    for settings in edges(registry.fusions.load(fusion).space):
        asked = question(fusion, settings)
        (found,) = answered(explainer, asked, (1,)) or (None,)
        assert found is not None, settings
        check(explainer, asked, found)


class Sound(Fusion):
    """A product of linear maps that keeps the contract; the classes below break one rule each."""

    space: ClassVar[Space] = Space(width=Choice(4, 8, doc="width of the result"))

    def __init__(self, widths: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.names, self.width = tuple(sorted(widths)), width
        self.factors = self.kept([nn.Parameter(torch.randn(widths[name], width) / 4) for name in self.names])
        self.missing = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in self.names)

    def kept(self, factors: list[nn.Parameter]) -> Any:
        return nn.ParameterList(factors)

    def parts(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> list[Tensor]:
        return [
            torch.where(
                present[name].unsqueeze(-1) > 0, 1 + tokens[name].mean(-2) @ factor.to(tokens[name].dtype), missing
            )
            for name, factor, missing in zip(self.names, self.factors, self.missing, strict=True)
        ]

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return torch.stack(self.parts(tokens, present)).prod(0)


class PlainList(Sound):
    """As two published libraries have it: the factors are in a list that torch does not look into."""

    def kept(self, factors: list[nn.Parameter]) -> Any:
        return factors


class PlainTensors(Sound):
    def kept(self, factors: list[nn.Parameter]) -> Any:
        return [factor.detach() for factor in factors]


class Undocumented(Sound):
    space: ClassVar[Space] = Space(width=Choice(4, 8))


class WrongWidth(Sound):
    def __init__(self, widths: Mapping[str, int], *, width: int) -> None:
        super().__init__(widths, width=width)
        self.width = width + 1


class Explodes(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return torch.stack([10 * part for part in self.parts(tokens, present)]).prod(0)


class NeedsTwo(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        first, second, *others = self.parts(tokens, present)
        return torch.stack([first * second, *others]).prod(0)


class InOrderOfArrival(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        place = {name: number for number, name in enumerate(tokens, 1)}
        parts = self.parts(tokens, present)
        return torch.stack([part * place[name] for name, part in zip(self.names, parts, strict=True)]).prod(0)


class SeesWhatIsMissing(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return super().forward(tokens, present) + sum(tokens[name].mean((-2, -1)) for name in self.names).unsqueeze(-1)


class MeanOfNone(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        there = torch.stack([present[name] for name in self.names]).unsqueeze(-1)
        return (torch.stack(self.parts(tokens, present)) * there).sum(0) / there.sum(0)


class NormsOverRows(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return super().forward(tokens, present) - super().forward(tokens, present).mean(0)


class Deaf(Sound):
    """No gradient reaches the encoders."""

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return super().forward({name: token.detach() for name, token in tokens.items()}, present)


class OnlyAdds(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return torch.stack(self.parts(tokens, present)).sum(0)


class SaysItOnlyAdds(Sound):
    additive: ClassVar[bool] = True


class OnlyMultiplies(Sound):
    """One number an input, multiplied: no such product is a sum."""

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        factors = [part.mean(-1, keepdim=True) for part in self.parts(tokens, present)]
        return torch.stack(factors).prod(0).expand(-1, self.width)


class AlwaysNoisy(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        fused = super().forward(tokens, present)
        return fused + torch.randn_like(fused)


class WritesOnTokens(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        for token in tokens.values():
            token.mul_(2)
        return super().forward(tokens, present)


class BendsTwice(Sound):
    def __init__(self, widths: Mapping[str, int], *, width: int) -> None:
        super().__init__(widths, width=width)
        self.bend = nn.Tanh()

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return self.bend(self.bend(super().forward(tokens, present)))


class SinglePrecision(Sound):
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return super().forward(tokens, present).float()


BREACHES = (
    (PlainList, "test_all_that_learns_is_registered_and_trained"),
    (PlainTensors, "test_settings_and_weights_survive_saving"),
    (PlainTensors, "test_a_pack_equals_a_loop"),
    (Undocumented, "test_every_knob_is_documented"),
    (WrongWidth, "test_width_is_that_of_the_output"),
    (Explodes, "test_any_number_of_inputs"),
    (NeedsTwo, "test_any_number_of_inputs"),
    (InOrderOfArrival, "test_order_of_dictionaries_is_irrelevant"),
    (SeesWhatIsMissing, "test_any_inputs_may_be_missing"),
    (MeanOfNone, "test_any_inputs_may_be_missing"),
    (NormsOverRows, "test_a_row_does_not_see_the_others"),
    (Deaf, "test_gradients_reach_everything"),
    (OnlyAdds, "test_a_product_is_an_interaction"),
    (SaysItOnlyAdds, "test_a_product_is_an_interaction"),
    (OnlyMultiplies, "test_a_sum_is_none"),
    (AlwaysNoisy, "test_eval_is_deterministic"),
    (WritesOnTokens, "test_tokens_are_left_as_they_were"),
    (BendsTwice, "test_no_module_is_used_twice"),
    (SinglePrecision, "test_float64_stays_float64"),
)
SUITE = [name for name in dir(FusionSuite) if name.startswith("test_")]


def judge(fusion: type[Fusion], test: str) -> None:
    """Run one test of the suite by hand."""
    fixtures = {
        "fusion": fusion,
        "widths": {"text": 5, "image": 3, "table": 4},
        "variants": edges(fusion.space),
    }
    method = getattr(FusionSuite(), test)
    wanted = inspect.signature(method).parameters
    for count in (1, 6) if test == "test_width_is_that_of_the_output" else (1, 2, 8):
        method(**{name: fixtures.get(name, count) for name in wanted})
        if "count" not in wanted:
            return


@pytest.mark.parametrize("test", SUITE)
def test_the_suite_passes_a_sound_fusion(test: str) -> None:
    judge(Sound, test)


@pytest.mark.parametrize(("fusion", "test"), BREACHES, ids=lambda each: getattr(each, "__name__", each))
def test_the_suite_finds_a_breach(fusion: type[Fusion], test: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        judge(fusion, test)


def test_every_test_of_the_suite_can_fail() -> None:
    assert sorted(SUITE) == sorted({test for _, test in BREACHES})
