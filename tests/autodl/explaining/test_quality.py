"""Good explanations beat random ones by every measure, and those that say nothing do not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Attribution, Players, Question
from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.quality import MEASURES, Measure, measure
from autodl.records import InputSpec

PLAYERS = 6
OF_TRUTH = [
    "deletion",
    "insertion",
    "infidelity",
    "infidelity_scaled",
    "faithfulness_correlation",
    "faithfulness_estimate",
    "pgi",
    "pgu",
]
"""Measures by which values that are true are better than the same values dealt out by chance."""


class Network(nn.Module):
    """Two hidden layers of one input, which may be missing."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            first = nn.Linear(entries, 32)
            first.weight.data *= torch.linspace(0.5, 5, entries)  # some matter more than others
            self.body = nn.Sequential(first, nn.Tanh(), nn.Dropout(0.5), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["x"].flatten(1)
        return self.body(torch.where(x.isnan(), 0.3, x))  # type: ignore[no-any-return]


def question(x: Tensor | None = None, index: Tensor | None = None, memory: int = 2**20) -> Question:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(24, PLAYERS, generator=generator) if x is None else x
    shape = tuple(x.shape[1:])
    index = torch.arange(math.prod(shape)).view(shape) if index is None else index
    names = tuple(f"p{number}" for number in range(int(index.max()) + 1))
    players = Players(names, {"x": index}, own=index.dim() > len(shape))
    model = Network(math.prod(shape))
    return Question(
        model=model,
        inputs={"x": x},
        target=0,
        specs={"x": InputSpec(shape, ("x",), torch.zeros(shape).long(), torch.zeros(shape))},
        players=players,
        background={"x": torch.randn(30, *shape, generator=generator)},
        baseline={"x": torch.zeros(1, *shape)},
        networks=(model,),
        memory=memory,
    )


@torch.no_grad()
def exact(asked: Question) -> Tensor:
    """Shapley values by the definition: over all orders' sets, one player at a time. Shape: → rows players."""
    players = len(asked.players)
    index = asked.players.rows("x")
    training = asked.model.training  # type: ignore[attr-defined]
    asked.model.eval()  # type: ignore[attr-defined]
    worth = {}
    for size in range(players + 1):
        for some in itertools.combinations(range(players), size):
            kept = torch.isin(index, torch.tensor(some, dtype=torch.int64))
            x = torch.where(kept | asked.inputs["x"].isnan(), asked.inputs["x"], asked.baseline["x"])
            worth[frozenset(some)] = asked.model({"x": x})[:, asked.target].double()
    asked.model.train(training)  # type: ignore[attr-defined]
    values = torch.zeros(len(asked), players, dtype=torch.float64)
    for those, value in worth.items():
        for player in set(range(players)) - those:
            weight = math.factorial(len(those)) * math.factorial(players - len(those) - 1) / math.factorial(players)
            values[:, player] += weight * (worth[those | {player}] - value)
    return values


def gradient(asked: Question) -> Tensor:
    x = asked.inputs["x"].detach().requires_grad_()
    (slope,) = torch.autograd.grad(asked.model({"x": x})[:, asked.target].sum(), x)
    return asked.players.pooled({"x": (slope * x).detach()})


def said(values: Tensor, target: int = 0, entries: Tensor | None = None) -> Attribution:
    given = None if entries is None else {"x": entries}
    return Attribution(values=values, base=torch.zeros(len(values)), target=target, entries=given)


def gain(each: Measure) -> float:
    """By how much it is better than random."""
    return (each.value - each.random) * (1 if each.greater_is_better else -1)


def by_name(found: list[Measure]) -> dict[str, Measure]:
    return {each.name: each for each in found}


def test_exact_shapley_values_beat_random_ones_by_every_measure_of_truth() -> None:
    asked = question(torch.randn(60, PLAYERS, generator=torch.Generator().manual_seed(7)))
    found = by_name(measure(asked, said(exact(asked)), names=OF_TRUTH))
    assert list(found) == OF_TRUTH
    assert {name: gain(each) > 3 * each.error for name, each in found.items()} == dict.fromkeys(OF_TRUTH, True)


def test_a_constant_explanation_does_not_beat_random_ones() -> None:
    asked = question()
    found = measure(asked, said(torch.full((24, PLAYERS), 0.4)), names=OF_TRUTH)
    assert {each.name: gain(each) < 2 * each.error + 1e-9 for each in found} == dict.fromkeys(OF_TRUTH, True)


def test_values_turned_round_are_worse_than_random_ones() -> None:
    asked = question()
    found = measure(asked, said(-exact(asked)), names=[name for name in OF_TRUTH if not name.startswith("pg")])
    assert {each.name: gain(each) < 0 for each in found} == {each.name: True for each in found}


def test_all_is_measured_and_nothing_is_changed() -> None:
    asked = question()
    model = asked.model
    assert isinstance(model, nn.Module)
    answer = said(gradient(replace(asked, model=model.eval())))
    model.train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    state = torch.random.get_rng_state()
    found = by_name(measure(asked, answer, explain=gradient))
    assert list(found) == [name for name in MEASURES if not name.startswith("road")]
    assert model.training
    assert all(bool((each == before[name]).all()) for name, each in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert bool((torch.random.get_rng_state() == state).all())
    for name, each in found.items():
        assert each.rows is not None
        assert len(each.rows) == 24
        assert math.isfinite(each.value + each.random + each.error), name
        assert (each.greater_is_better, each.about) == MEASURES[name]
    assert abs(found["parameter_randomisation"].value) < 0.7


def test_chance_is_seeded() -> None:
    asked = question()
    first, again, other = (measure(asked, said(exact(asked)), seed=seed) for seed in (3, 3, 4))
    assert [(each.value, each.random) for each in first] == [(each.value, each.random) for each in again]
    assert [each.random for each in first] != [each.random for each in other]


def test_the_output_that_the_attribution_speaks_of_counts() -> None:
    asked = question()
    values = exact(replace(asked, target=2))
    right, wrong = (measure(asked, said(values, target), names=["faithfulness_estimate"])[0] for target in (2, 1))
    assert right.value > 0.7
    assert wrong.value < right.value - 0.3


@pytest.mark.parametrize("opaque", [False, True])
def test_rows_that_are_missing_say_nothing(opaque: bool) -> None:
    asked = question()
    x = asked.inputs["x"].clone()
    x[3] = torch.nan
    model = asked.model.eval()  # type: ignore[attr-defined]
    asked = replace(asked, inputs={"x": x}, model=(lambda inputs: model(inputs)) if opaque else model)
    found = measure(asked, said(exact(question())), names=OF_TRUTH)
    told = [each for each in found if not each.name.startswith("infidelity") or each.name.endswith("scaled")]
    for each in told:
        assert each.rows is not None
        assert each.rows.isnan().nonzero().flatten().tolist() == [3], each.name


def test_divisions_of_each_rows_own_are_measured() -> None:
    """Players of 2, 3 or 4 entries, some of whom are nobody in a row."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 1, 4, 4, generator=generator)
    index = torch.arange(16).div(3, rounding_mode="floor").expand(24, 16).clone()
    index[::2] = torch.arange(16).div(4, rounding_mode="floor")
    mixed = torch.stack([each[torch.randperm(16, generator=generator)] for each in index])
    asked = question(x, mixed.view(24, 1, 4, 4))
    assert len(asked.players) == 6
    found = measure(asked, said(exact(asked)), names=OF_TRUTH)
    better = {each.name: gain(each) > 2 * each.error for each in found}
    assert better == dict.fromkeys(OF_TRUTH, True)


@pytest.mark.parametrize("memory", [1, 2**20])
def test_pixels_are_measured_where_an_image_is_one_player(memory: int) -> None:
    x = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    asked = question(x, torch.zeros(1, 6, 6).long(), memory)
    model = asked.model.eval()  # type: ignore[attr-defined]
    steps = torch.linspace(0.05, 0.95, 10)
    slopes = []
    for step in steps:
        at = (step * x).requires_grad_()
        slopes.append(torch.autograd.grad(model({"x": at})[:, 0].sum(), at)[0])
    entries = x * torch.stack(slopes).mean(0)

    def explain(asked: Question) -> Tensor:
        return gradient(asked)

    found = by_name(measure(asked, said(entries.flatten(1).sum(1, keepdim=True), entries=entries), explain=explain))
    assert set(found) == set(MEASURES)
    for name in ("deletion", "insertion", "faithfulness_correlation", "faithfulness_estimate"):
        assert gain(found[name]) > 2 * found[name].error, name
    assert found["deletion"].curve is not None
    assert found["deletion"].curve["outputs"].shape == (8, 33)


def test_a_single_player_leaves_little_to_measure() -> None:
    x = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    asked = question(x, torch.zeros(1, 6, 6).long())
    left = {each.name for each in measure(asked, said(torch.ones(4, 1)))}
    assert left == {"infidelity", "road_most_relevant_first", "road_least_relevant_first"}


def test_unknown_measures_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'deletion'"):
        measure(question(), said(torch.ones(24, PLAYERS)), names=["delection"])


@pytest.mark.parametrize("name", ["sensitivity_max", "parameter_randomisation", "road_most_relevant_first"])
def test_a_measure_that_cannot_be_worked_out_is_refused_where_it_was_asked_for(name: str) -> None:
    with pytest.raises(ExplanationError, match=f"measure '{name}' must have what it needs"):
        measure(question(), said(torch.ones(24, PLAYERS)), names=[name])


def test_any_callable_will_do() -> None:
    weights = torch.arange(1.0, PLAYERS + 1)
    asked = question()

    def linear(inputs: dict[str, Tensor]) -> Tensor:
        return (inputs["x"] @ weights)[:, None]

    def explain(asked: Question) -> Tensor:
        return weights.expand(len(asked), -1)

    linear_question: Question = replace(asked, model=linear, networks=())
    values = asked.inputs["x"] * weights
    found = by_name(measure(linear_question, said(values), explain=_same(values)))
    assert "parameter_randomisation" not in found
    assert found["infidelity"].value == pytest.approx(0, abs=1e-8)
    assert found["faithfulness_estimate"].value == pytest.approx(1, rel=1e-6)
    sensitivity = by_name(measure(linear_question, said(explain(asked)), explain=explain))["sensitivity_max"]
    assert sensitivity.value == 0


def _same(values: Tensor) -> Callable[[Question], Tensor]:
    return lambda asked: values
