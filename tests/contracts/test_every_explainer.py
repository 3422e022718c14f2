"""Every registered explainer; and each of them over every registered encoder: right, or refused with a reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autodl import registry
from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.network import Network
from autodl.records import Component, InputSpec, TrialConfig
from autodl.space import Choice, Integer, Space
from autodl.testing._explainer_cases import about, linear_question, small_questions
from autodl.testing.encoder import edges, image_spec, table_spec
from autodl.testing.explainer import ExplainerSuite, answered, check

QUICK: dict[str, dict[str, Any]] = {
    "concepts": {"repeats": 1, "random": 19},
    "lime": {"samples": 100},
}
"""Settings of methods that take long; they decide how much chance is left, not what is right."""
SPECS = {"table": table_spec(numeric=2, categories=(3,)), "image": image_spec(1, 8, 8)}


class TestEveryExplainer(ExplainerSuite):
    @pytest.fixture(params=registry.explainers.names())
    def name(self, request: pytest.FixtureRequest) -> str:
        return request.param

    @pytest.fixture
    def explainer(self, name: str) -> type[Explainer]:
        return registry.explainers.load(name)

    @pytest.fixture
    def settings(self, name: str) -> dict[str, Any]:
        return QUICK.get(name, {})


class MeanOfCopies(nn.Module):
    """Networks that hold several predictors answer for each; what is explained is their mean."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.network(dict(inputs)).mean(1)


def network_of(encoders: Mapping[str, Component], specs: Mapping[str, InputSpec]) -> nn.Module:
    """A network with spread-out weights: fresh heads are so small that gaps would hide in rounding."""
    fusion = Component("concat") if len(encoders) > 1 else None
    none = Component("")
    config = TrialConfig({}, encoders, none, none, {}, epochs=1, seed=3, fusion=fusion)
    network = Network.seeded(config, specs, 3)
    with torch.no_grad():
        for weights in network.head.parameters():
            weights.mul_(10.0)
    return (MeanOfCopies(network) if network.copies > 1 else network).eval()


def small(space: Space, settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same edges of networks that are as narrow as the space allows in all else."""
    usual = space.defaults()
    least = {name: min(knob.options) for name, knob in space.items() if isinstance(knob, Choice) and _sized(knob)}
    return [{k: least.get(k, v) if v == usual.get(k) else v for k, v in each.items()} for each in settings]


def _sized(knob: Choice) -> bool:
    return all(isinstance(option, int) and not isinstance(option, bool) for option in knob.options)


def questions(which: str) -> list[tuple[str, Question]]:
    """One question for each encoder and kind of input that it takes, at its defaults or at every other edge."""
    found = []
    for name in registry.encoders.names():
        encoder = registry.encoders.load(name)
        for kind, spec in SPECS.items():
            if not encoder.accepts(spec):
                continue
            space = encoder.space_for(spec)
            settings = edges(space)
            for chosen in settings[:1] if which == "default" else small(space, settings[1:]):
                said = ", ".join(f"{k}={v}" for k, v in chosen.items() if v != settings[0].get(k)) or "default"
                model = network_of({kind: Component(name, chosen)}, {kind: spec})
                found.append((f"{name} on {kind}: {said}", about(model, {kind: spec})))
    return found


@pytest.fixture(scope="module")
def usual() -> list[tuple[str, Question]]:
    both = {"table": Component("mlp", _defaults("mlp", "table")), "image": Component("cnn", _defaults("cnn", "image"))}
    return [*questions("default"), ("mlp and cnn", about(network_of(both, SPECS), SPECS))]


@pytest.fixture(scope="module")
def unusual() -> list[tuple[str, Question]]:
    return questions("edges")


def _defaults(encoder: str, kind: str) -> dict[str, Any]:
    return registry.encoders.load(encoder).space_for(SPECS[kind]).defaults()


@pytest.mark.parametrize("name", registry.explainers.names())
def test_every_explainer_over_every_encoder(name: str, usual: list[tuple[str, Question]]) -> None:
    explainer = registry.explainers.load(name)(**QUICK.get(name, {}))
    for said, question in usual:
        for found in answered(explainer, question, (1,)) or ():
            _judge(explainer, question, found, said)


@pytest.mark.parametrize("name", registry.explainers.names())
def test_complete_explainers_over_every_edge_of_every_encoder(name: str, unusual: list[tuple[str, Question]]) -> None:
    explainer = registry.explainers.load(name)(**QUICK.get(name, {}))
    if not explainer.complete:
        pytest.skip("promises no sum by which right could be told from wrong")
    answers = 0
    for said, question in unusual:
        for found in answered(explainer, question.at(slice(0, 2)), (1,)) or ():
            _judge(explainer, question.at(slice(0, 2)), found, said)
            answers += 1
    assert answers > 0, "it must answer for some encoder"


def _judge(explainer: Explainer, question: Question, found: Any, said: str) -> None:
    try:
        check(explainer, question, found)
    except AssertionError as error:
        raise AssertionError(f"{said}: {error}") from error


class Sound(Explainer):
    """A small explainer that keeps the contract; the classes below break one rule each."""

    complete: ClassVar[bool] = True
    space: ClassVar[Space] = Space(unused=Integer(1, 2, doc="nothing", default=1))

    def attribute(self, question: Question) -> Attribution:
        """What each player brings when it is taken out; what is then left of the sum goes to all alike."""
        base, whole = self.output(question, question.baseline), self.output(question, question.inputs)
        drops = []
        for player in range(len(question.players)):
            taken = {
                name: torch.where(question.players.rows(name) == player, question.baseline[name], x)
                for name, x in question.inputs.items()
            }
            drops.append(whole - self.output(question, taken))
        values = torch.stack(drops, 1)
        rest = (whole - base - values.sum(1)).unsqueeze(1)
        some = question.players.pooled({name: torch.ones_like(x) for name, x in question.inputs.items()}) > 0
        return Attribution(values + some * rest / some.sum(1, keepdim=True), base[0])

    def output(self, question: Question, inputs: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return question.model(dict(inputs))[:, question.target]

    def changed(self, question: Question, change: Callable[[Tensor], Tensor]) -> Attribution:
        """A sound answer, with other values that sum to the same."""
        found = Sound.attribute(self, question)
        values = change(found.values)
        return replace(found, values=values + (found.values - values).mean(1, keepdim=True))


class Undocumented(Sound):
    space: ClassVar[Space] = Space(unused=Integer(1, 2))


class NeverAnswers(Sound):
    def objection(self, question: Question) -> str | None:
        return "it is not in the mood for questions of any kind today; come back"


class RefusesWithoutReason(Sound):
    def objection(self, question: Question) -> str | None:
        return "no"


class NotANumber(Sound):
    def attribute(self, question: Question) -> Attribution:
        found = super().attribute(question)
        return replace(found, standard_error=found.values * float("nan"))


class SwapsOutputs(Sound):
    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        return super().attribute_all(question, targets)[::-1]


class DrawsFromNumpy(Sound):
    def attribute(self, question: Question) -> Attribution:
        return self.changed(question, lambda values: values * (1 + 0.1 * np.random.default_rng().random()))


class LeavesAHook(Sound):
    def attribute(self, question: Question) -> Attribution:
        if isinstance(question.model, nn.Module):
            question.model.register_forward_hook(lambda *_: None)
        return super().attribute(question)


class ChangesABuffer(Sound):
    def attribute(self, question: Question) -> Attribution:
        found = super().attribute(question)
        for buffer in question.model.buffers() if isinstance(question.model, nn.Module) else ():
            buffer.add_(1)
        return found


class MixesRows(Sound):
    def attribute(self, question: Question) -> Attribution:
        return self.changed(question, lambda values: values + values.flip(0))


class CountsMemory(Sound):
    def attribute(self, question: Question) -> Attribution:
        return self.changed(question, lambda values: values * (1 + question.memory / 2**28))


class PaysEverybody(Sound):
    def attribute(self, question: Question) -> Attribution:
        return self.changed(question, lambda values: 0 * values)


class SharesAlike(Sound):
    def attribute(self, question: Question) -> Attribution:
        return self.changed(question, lambda values: values.roll(1, 1))


class Vague(Sound):
    def objection(self, question: Question) -> str | None:
        holes = any(bool(x.isnan().any()) for x in question.inputs.values())
        return "something is wrong with these rows, it is hard to tell what; leave" if holes else None


class NeedsParameters(Sound):
    def attribute(self, question: Question) -> Attribution:
        assert isinstance(question.model, nn.Module), "it takes a module for granted"
        return super().attribute(question)


class AsksBetweenWords(Sound):
    """As whoever takes ids of words for quantities; of a complete method the sum would give it away."""

    complete: ClassVar[bool] = False

    def attribute(self, question: Question) -> Attribution:
        halves = {name: (x + question.baseline[name]) / 2 for name, x in question.inputs.items()}
        found = super().attribute(question)
        return replace(found, values=found.values + 0 * self.output(question, halves).unsqueeze(1))


class DividesRowsAlike(Sound):
    def attribute(self, question: Question) -> Attribution:
        first = question.players.at(slice(0, 1)).index
        alike = {name: each.expand_as(question.players.index[name]) for name, each in first.items()}
        return super().attribute(replace(question, players=replace(question.players, index=alike)))


BREACHES = {
    Undocumented: "test_every_knob_is_documented",
    NeverAnswers: "test_it_answers_or_says_why_not",
    RefusesWithoutReason: "test_it_answers_or_says_why_not",
    NotANumber: "test_it_answers_or_says_why_not",
    AsksBetweenWords: "test_it_answers_or_says_why_not",
    SwapsOutputs: "test_outputs_at_once_are_as_one_by_one",
    DrawsFromNumpy: "test_the_seed_decides",
    LeavesAHook: "test_everything_is_left_as_it_was",
    ChangesABuffer: "test_everything_is_left_as_it_was",
    MixesRows: "test_a_row_does_not_see_the_others",
    CountsMemory: "test_memory_changes_nothing",
    PaysEverybody: "test_an_ignored_column_gets_nothing",
    SharesAlike: "test_a_linear_model_is_told_exactly",
    Vague: "test_a_missing_input_is_counted_or_named",
    NeedsParameters: "test_an_opaque_callable_is_answered_or_refused",
    DividesRowsAlike: "test_rows_may_be_divided_each_in_its_own_way",
}
SUITE = [name for name in dir(ExplainerSuite) if name.startswith("test_")]


def judge(explainer: type[Explainer], test: str) -> None:
    """Run one test of the suite by hand."""
    fixtures = {
        "explainer": explainer,
        "asked": explainer(),
        "questions": small_questions(),
        "linear": linear_question(),
    }
    method = getattr(ExplainerSuite(), test)
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


@pytest.mark.parametrize("test", SUITE)
def test_the_suite_passes_a_sound_explainer(test: str) -> None:
    judge(Sound, test)


@pytest.mark.parametrize("explainer", BREACHES, ids=lambda explainer: explainer.__name__)
def test_the_suite_finds_a_breach(explainer: type[Explainer]) -> None:
    with pytest.raises(AssertionError):
        judge(explainer, BREACHES[explainer])


def test_every_test_of_the_suite_can_fail() -> None:
    assert set(BREACHES.values()) == set(SUITE)
