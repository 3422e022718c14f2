"""Explaining again: beside the row, and with a network that has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Attribution, Players, Question
from autodl.errors import ExplanationError
from autodl.explaining._quality_again import (
    change,
    explained,
    forget,
    moved,
    parameter_randomisation,
    sensitivity_max,
    with_parameters,
)
from autodl.explaining._quality_game import Game, game_of
from autodl.records import InputSpec

PLAYERS = 6


class Columns(nn.Module):
    """A module of one tensor, as a model of inputs."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.body(inputs["x"])  # type: ignore[no-any-return]


class TanhNetwork(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first = torch.tensor([[((3 * i + 5 * j) % 7 - 3) / 4 for i in range(6)] for j in range(5)]).double()
        second = torch.tensor([[1.0, -0.5, 0.75, 0.25, -1.0], [-0.5, 1.0, -0.25, 0.5, 0.75]]).double()
        return torch.tanh(x @ first.T) @ second.T


def gradient(question: Question) -> Tensor:
    x = question.inputs["x"].detach().requires_grad_()
    (slope,) = torch.autograd.grad(question.model({"x": x})[:, question.target].sum(), x)
    return slope


def contribution(question: Question) -> Tensor:
    return gradient(question) * (question.inputs["x"] - question.baseline["x"])


def ask(x: Tensor, body: nn.Module, explain: Callable[[Question], Tensor], base: float = 0.0) -> Game:
    model = Columns(body).eval()
    question = Question(
        model=model,
        inputs={"x": x},
        target=0,
        specs={"x": InputSpec((PLAYERS,), ("x",), torch.zeros(PLAYERS).long(), torch.zeros(PLAYERS))},
        players=Players(tuple("abcdef"), {"x": torch.arange(PLAYERS)}),
        background={"x": torch.randn(20, PLAYERS, generator=torch.Generator().manual_seed(3)).to(x)},
        baseline={"x": torch.full((1, PLAYERS), base, dtype=x.dtype)},
        networks=(model,),
    )
    return game_of(question, Attribution(values=explain(question), base=torch.zeros(len(x))))


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(nn.Linear(PLAYERS, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))


def rows(count: int = 20) -> Tensor:
    return torch.randn(count, PLAYERS, generator=torch.Generator().manual_seed(1))


def test_sensitivity_is_quantus() -> None:
    """Quantus 0.6.0's MaxSensitivity gave these for the network above, with the moves below as perturb_func.

    ``MaxSensitivity(nr_samples=3, perturb_func=…, abs=False, normalise=False)``, softmax=False, x of shape (3, 1, 6),
    gradient of output 0 × (x - 0.25) as explanation.
    """
    x = torch.tensor(
        [[((2 * r + 3 * i) % 5 - 2) / 2 + 0.1 * i + 0.05 * r for i in range(6)] for r in range(3)]
    ).double()
    game = ask(x, TanhNetwork(), contribution, base=0.25)
    moves = torch.tensor(
        [[[((i * 7 + r * 3 + s * 5) % 11 - 5) / 100 for i in range(6)] for r in range(3)] for s in range(3)]
    ).double()
    found = [change(game, game.values, contribution(moved(game.question, {"x": each}))) for each in moves]
    expected = pytest.approx([0.025141196, 0.075801919, 0.122985635], rel=1e-5)
    assert torch.stack(found).amax(0).tolist() == expected


def test_the_gradient_of_a_linear_model_never_moves() -> None:
    torch.nn.init.normal_((linear := nn.Linear(PLAYERS, 2)).weight, generator=torch.Generator().manual_seed(0))
    found = sensitivity_max(ask(rows(), linear, gradient), gradient, torch.Generator())["sensitivity_max"]
    assert found.rows.tolist() == [0] * 20
    assert bool((found.random > 0.1).all())


def test_explanations_that_turn_with_every_breath_are_told_from_calm_ones() -> None:
    def rough(question: Question) -> Tensor:
        return torch.sin(1e4 * question.inputs["x"])

    game = ask(rows(), network(), gradient)
    calm = sensitivity_max(game, gradient, torch.Generator())["sensitivity_max"]
    wild = sensitivity_max(replace(game, values=rough(game.question).double()), rough, torch.Generator())
    assert float(calm.rows.mean()) < 0.3 * float(wild["sensitivity_max"].rows.mean())


def test_without_a_spread_nothing_tells_what_is_near() -> None:
    game = ask(rows(), network(), gradient)
    alone = replace(game.question, background={"x": game.question.background["x"][:1]})
    assert sensitivity_max(replace(game, question=alone), gradient, torch.Generator()) == {}


def test_what_is_missing_stays_missing() -> None:
    x = rows(3)
    x[1] = torch.nan
    question = replace(ask(rows(3), network(), gradient).question, inputs={"x": x})
    found = moved(question, {"x": torch.ones_like(x)}).inputs["x"]
    assert bool(found[1].isnan().all())
    assert found[0].tolist() == pytest.approx((x[0] + 1).tolist())


def test_an_explanation_that_ignores_the_network_is_found_out() -> None:
    body = network()
    before = {name: each.clone() for name, each in body.state_dict().items()}

    def edges(question: Question) -> Tensor:
        return question.inputs["x"]

    (blind,) = parameter_randomisation(ask(rows(), body, edges), edges, torch.Generator()).values()
    (seeing,) = parameter_randomisation(ask(rows(), body, gradient), gradient, torch.Generator()).values()
    assert blind.rows.tolist() == pytest.approx([1.0] * 20)
    assert abs(float(seeing.rows.mean())) < 0.5
    assert abs(float(seeing.random.mean())) < 0.2
    assert seeing.curve["share"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(bool((before[name] == each).all()) for name, each in body.state_dict().items())


def test_forgetting_begins_at_the_head_and_is_seeded() -> None:
    body = network()
    seen: list[list[bool]] = []

    def watch(question: Question) -> Tensor:
        assert question.networks[0] is question.model
        layers = zip(with_parameters(question.networks[0]), with_parameters(body), strict=True)
        seen.append([torch.equal(now.get_parameter("weight"), then.get_parameter("weight")) for now, then in layers])
        return gradient(question)

    game = ask(rows(), body, gradient)
    (first,) = parameter_randomisation(game, watch, torch.Generator().manual_seed(5)).values()
    (again,) = parameter_randomisation(game, gradient, torch.Generator().manual_seed(5)).values()
    assert seen == [[False, True, True], [False, False, True], [False, False, False]]
    assert first.rows.tolist() == again.rows.tolist()


def test_a_layer_that_cannot_begin_anew_has_its_numbers_dealt_out() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.Parameter(torch.arange(50.0))

    layer = Scale()
    forget([layer])
    assert sorted(layer.factors.tolist()) == list(range(50))
    assert layer.factors.tolist() != list(range(50))


def test_opaque_models_have_nothing_to_forget() -> None:
    game = ask(rows(), network(), gradient)
    opaque = replace(game, question=replace(game.question, model=lambda inputs: inputs["x"]))
    assert parameter_randomisation(opaque, gradient, torch.Generator()) == {}


def test_explain_must_speak_of_the_same_players() -> None:
    game = ask(rows(), network(), gradient)
    with pytest.raises(ExplanationError, match="20 rows and 6 players"):
        explained(game, lambda question: torch.zeros(20, 5), game.question)


def test_networks_that_share_a_model_are_copied_together() -> None:
    """The layers that forget are those of the model that is explained."""
    game = ask(rows(), network(), gradient)
    body = game.question.model.body  # type: ignore[attr-defined]
    inner = replace(game, question=replace(game.question, networks=(body[:3], body[3:])))
    seen = []

    def watch(question: Question) -> Tensor:
        seen.append(gradient(question))
        return seen[-1]

    parameter_randomisation(inner, watch, torch.Generator())
    assert all(not torch.allclose(each, game.values.float()) for each in seen)


def test_words_are_not_moved() -> None:
    """There is nothing beside a word: what lies there is no id."""
    seen: list[Tensor] = []

    def spy(question: Question) -> Tensor:
        seen.append(question.inputs["x"])
        return question.inputs["x"]

    game = ask(rows(4).round(), nn.Identity(), spy)
    assert sensitivity_max(game, spy, torch.Generator().manual_seed(0))
    words = replace(game.question.specs["x"], vocabulary=9)
    named = replace(game, question=replace(game.question, specs={"x": words}))
    seen.clear()
    assert sensitivity_max(named, spy, torch.Generator().manual_seed(0)) == {}
    assert not seen
