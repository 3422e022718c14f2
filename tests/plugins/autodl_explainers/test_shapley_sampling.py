from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers._game import Game, Table, tables
from autodl_explainers._shapley_coalitions import every_coalition, exact_interactions, exact_values
from autodl_explainers._shapley_sampling import Effort, Rounds, estimate, solve

Model = Callable[[Tensor], Tensor]
PLAYERS, ROWS = 14, 8


def setting(model: Model, rows: int = ROWS, players: int = PLAYERS) -> tuple[Game, Table]:
    x = torch.randn(rows, players, generator=torch.Generator().manual_seed(3))
    index = {"table": torch.arange(players)}
    background = {"table": torch.zeros(1, players)}
    named = Players(tuple(f"p{i}" for i in range(players)), index)
    question = Question(lambda b: model(b["table"]), {"table": x}, 0, {}, named, background, background)
    return Game(question, [0]), next(tables(question))


def perceptron(width: int = 64) -> Model:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(PLAYERS, width, generator=generator), torch.randn(width, width, generator=generator)
    last = torch.randn(width, 1, generator=generator)
    return lambda x: (((x @ first).relu() @ second) / 8).relu() @ last / 8


def forest(x: Tensor) -> Tensor:
    """Steps, alone and in pairs and threes: as trees are."""
    step = (x > 0.2).double()
    return (2 * step[:, 0] + step[:, 1] * step[:, 2] - step[:, 3] * step[:, 4] * step[:, 5] + step[:, 6]).unsqueeze(1)


def largest(x: Tensor) -> Tensor:
    return x.amax(1, keepdim=True)


def saturated(x: Tensor) -> Tensor:
    return torch.sigmoid(3 * x.sum(1, keepdim=True) + x[:, :1] * x[:, 1:2])


GAMES = {"perceptron": perceptron(), "forest": forest, "largest": largest, "saturated": saturated}


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("evaluations", [128, 512])
def test_the_truth_lies_within_two_standard_errors(name: str, evaluations: int) -> None:
    """Of 112 values a game; 95 % of those of a normal distribution would, 90 to 100 % are allowed of each game."""
    game, table = setting(GAMES[name])
    truth = solve(game, table, Effort(0, 0.0)).values
    within, excess = [], []
    for seed in range(3):
        found = estimate(game, table, Effort(evaluations, 0.0, seed=seed))
        within.append(((found.values - truth).abs() <= 2 * found.errors + 1e-9).double().mean())
        excess.append(found.errors.norm() - 4 * (found.values - truth).norm() - 0.02 * truth.norm())
    assert float(torch.stack(within).mean()) >= 0.9
    assert float(torch.stack(excess).max()) < 0, "errors that are far too large say nothing"


def test_standard_errors_are_neither_too_small_nor_too_large_over_all_games() -> None:
    within = []
    for model in GAMES.values():
        game, table = setting(model)
        truth = solve(game, table, Effort(0, 0.0)).values
        found = estimate(game, table, Effort(256, 0.0, seed=7))
        within.append((found.values - truth).abs() <= 2 * found.errors)
    assert 0.9 <= float(torch.stack(within).double().mean()) <= 0.995


@pytest.mark.parametrize(("name", "evaluations", "error"), [("perceptron", 256, 0.08), ("forest", 512, 0.08)])
def test_estimates_are_as_close_as_this(name: str, evaluations: int, error: float) -> None:
    game, table = setting(GAMES[name])
    truth = solve(game, table, Effort(0, 0.0)).values
    found = estimate(game, table, Effort(evaluations, 0.0))
    assert float((found.values - truth).norm() / truth.norm()) < error


def test_values_sum_to_the_output_less_the_base() -> None:
    game, table = setting(largest)
    for evaluations in (4, 16, 64, 300):
        found = estimate(game, table, Effort(evaluations, 0.0))
        torch.testing.assert_close(found.values.sum(2), game.full - game.empty, rtol=0, atol=1e-12)
        assert int(found.asked.max()) <= evaluations or evaluations == 4


def test_more_coalitions_make_smaller_errors() -> None:
    game, table = setting(perceptron())
    truth = solve(game, table, Effort(0, 0.0)).values
    few, many = (estimate(game, table, Effort(count, 0.0)) for count in (64, 1024))
    assert float((many.values - truth).norm()) < float((few.values - truth).norm()) / 3
    assert float(many.errors.norm()) < float(few.errors.norm()) / 3


def test_rows_that_are_good_enough_leave_before_the_others() -> None:
    """Half of the rows are linear, half are not."""
    curved = perceptron()

    def model(x: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 10, x.sum(1, keepdim=True), curved(x))

    game, table = setting(model)
    x = game.question.inputs["table"]
    x[:4, 0] = 100.0  # present in half of the coalitions: a large, simple effect
    game = Game(game.question, [0])
    found = estimate(game, table, Effort(2048, 0.02))
    assert found.done.all()
    assert int(found.asked[:4].max()) <= int(found.asked[4:].min())
    spread = found.values.amax(2) - found.values.amin(2)
    assert (found.errors.amax(2) <= 0.02 * spread).all()


def test_time_that_runs_out_stops_it_with_what_there_is() -> None:
    def slow(x: Tensor) -> Tensor:
        time.sleep(2e-5 * len(x))
        return x.sum(1, keepdim=True)

    game, table = setting(slow)
    started = time.perf_counter()
    found = estimate(game, table, Effort(4096, 0.0, until=started + 0.3))
    assert time.perf_counter() - started < 1.0
    assert int(found.asked.max()) < 4096
    assert not found.done.any()
    torch.testing.assert_close(found.values.sum(2), game.full - game.empty)


def test_memory_bounds_how_many_coalitions_are_compared() -> None:
    game, table = setting(perceptron())
    assert Rounds(game, table, Effort(4096, 0.0, memory=24 * 50**2)).most == 50
    assert int(estimate(game, table, Effort(4096, 0.0, memory=24 * 50**2)).asked.max()) == 102


def test_a_round_ends_early_when_the_time_is_up() -> None:
    game, table = setting(perceptron())
    late, calm = (Rounds(game, table, Effort(512, 0.0, until=until)) for until in (0.0, math.inf))
    late.ask(80)
    calm.ask(80)
    assert (len(late.odd) - 1, len(calm.odd) - 1) == (10, 80)
    assert torch.equal(late.odd, calm.odd[:11])


def test_exact_values_and_interactions_do_not_hang_on_how_many_rows_memory_allows() -> None:
    game, table = setting(largest, rows=5, players=6)
    plenty = solve(game, table, Effort(0, 0.0, interactions=True))
    little = solve(game, table, Effort(0, 0.0, interactions=True, memory=1))
    worths = game.worth(table, every_coalition(6)).flatten(1)
    torch.testing.assert_close(plenty.values.squeeze(1), exact_values(worths))
    torch.testing.assert_close(little.values, plenty.values)
    assert plenty.interactions is not None
    torch.testing.assert_close(plenty.interactions.squeeze(1), exact_interactions(worths))
    assert little.interactions is not None
    torch.testing.assert_close(little.interactions, plenty.interactions)
    assert plenty.asked.tolist() == [64] * 5


def test_estimated_interactions_are_close_to_the_exact_ones() -> None:
    game, table = setting(forest)
    exact = solve(game, table, Effort(0, 0.0, interactions=True)).interactions
    found = estimate(game, table, Effort(1024, 0.0, interactions=True)).interactions
    assert exact is not None
    assert found is not None
    assert float((found - exact).norm() / exact.norm()) < 0.15
    torch.testing.assert_close(found, found.transpose(2, 3))
    assert float(found.diagonal(dim1=2, dim2=3).abs().max()) == 0


def test_effort_knows_what_it_affords() -> None:
    assert Effort(1, 0.0).affords(1e9)
    assert not Effort(1, 0.0, until=time.perf_counter() + 1).affords(1.0)
    assert math.isinf(Effort(1, 0.0).until)
