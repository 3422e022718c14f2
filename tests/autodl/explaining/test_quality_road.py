"""ROAD: what removed pixels become, against Quantus's, and that relevant ones are told from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl.explaining import _quality_road
from autodl.explaining._quality_game import Game, game_of
from autodl.explaining._quality_road import imputed, pixel_ranks, relevance, road
from autodl.records import InputSpec

AT = torch.tensor([(i, j) for i in range(8) for j in range(8)]).double()


def ask(x: Tensor, model: Callable[[Tensor], Tensor], entries: Tensor | None, values: Tensor | None = None) -> Game:
    shape = tuple(x.shape[1:])
    question = Question(
        model=lambda given: model(given["x"]),
        inputs={"x": x},
        target=0,
        specs={"x": InputSpec(shape, ("x",), torch.zeros(shape).long(), torch.zeros(shape))},
        players=Players(("x",), {"x": torch.zeros(shape).long()}),
        background={"x": x.nan_to_num()},
        baseline={"x": torch.zeros(1, *shape, dtype=x.dtype)},
    )
    values = torch.zeros(len(x), 1) if values is None else values
    given = None if entries is None else {"x": entries}
    return game_of(question, Attribution(values=values, base=torch.zeros(len(x)), entries=given))


def quantus_case() -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor]:
    """Images of class 0, the network, and gradient × input."""
    i, j = AT.T
    images = torch.stack(
        [torch.sin(0.7 * i + 1.3 * j + r) + 0.5 * torch.cos(0.2 * i * j + r) + 0.1 * r for r in range(40)]
    )
    patterns = torch.stack([torch.cos(0.5 * i * (k + 1) - 0.9 * j + k) for k in range(3)])

    def model(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ patterns.T / 8) + torch.tensor([0.4, 0, 0])

    rows = [0, 5, 6, 7, 11, 12, 13, 17, 18, 19, 24, 25]
    x = images[rows].view(12, 1, 8, 8).requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    return x.detach(), model, (slope * x).detach()


def test_imputation_is_quantus() -> None:
    """Quantus 0.6.0's noisy_linear_imputation(noise=0) gave these for the five first of 19 and of 57 removed pixels."""
    i, j = AT.T
    x = torch.sin(0.7 * i + 1.3 * j).view(1, 1, 8, 8).requires_grad_()
    v = torch.stack([torch.cos(0.5 * i * (k + 1) - 0.9 * j + k) for k in range(3)])
    out = torch.tanh(x.flatten(1) @ v.T / 4) + 0.3 * torch.sin(x.flatten(1) @ v.T)
    (slope,) = torch.autograd.grad(out[0, 0], x)
    ranks = pixel_ranks((slope * x).sum(1), torch.Generator())
    first = [51, 46, 56, 38, 43]
    assert ranks[0, first].tolist() == [0, 1, 2, 3, 4]
    expected = {
        19: ([0.227059681, -0.209024499, -0.178718452, -0.256305405, 0.246742933], 0.166147608),
        57: ([-0.397630601, 0.391677456, -0.535651076, 0.478020363, -0.346424535], -1.476663295),
    }
    for count, (some, total) in expected.items():
        found = imputed(x.detach(), (ranks < count).view(1, 8, 8)).flatten()
        assert found[first].tolist() == pytest.approx(some, abs=1e-5)
        assert float(found.sum()) == pytest.approx(total, abs=1e-4)


def test_accuracies_are_quantus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantus 0.6.0's ROAD gave these for the images and the network above, all of class 0.

    ``ROAD(percentages=[10, 20, 30, 50, 70, 90], noise=0.0, abs=False, normalise=False)``, softmax=False, gradient ×
    input as attribution; least relevant first: the attribution negated.
    """
    monkeypatch.setattr(_quality_road, "NOISE", 0.0)
    x, model, entries = quantus_case()
    found = road(ask(x, model, entries), torch.Generator())
    most = found["road_most_relevant_first"].curve
    expected = [
        0.9166666666666666,
        0.5833333333333334,
        0.3333333333333333,
        0.6666666666666666,
        0.75,
        0.9166666666666666,
    ]
    assert most["unchanged"].tolist() == pytest.approx(expected)
    assert found["road_least_relevant_first"].curve["unchanged"].tolist() == [1] * 6


def test_relevant_pixels_are_told_from_others() -> None:
    x, model, entries = quantus_case()
    found = road(ask(x, model, entries), torch.Generator().manual_seed(0))
    most, least = found["road_most_relevant_first"], found["road_least_relevant_first"]
    assert most.rows.mean() < most.random.mean() - 0.2
    assert least.rows.mean() > least.random.mean() + 0.2


def test_an_image_that_says_the_same_of_all_pixels_is_no_better_than_chance() -> None:
    x, model, entries = quantus_case()
    found = road(ask(x, model, torch.ones_like(entries)), torch.Generator().manual_seed(0))
    for each in found.values():
        gap = each.rows - each.random
        assert abs(float(gap.mean())) < 3 * float(gap.std()) / len(gap) ** 0.5


def test_removed_pixels_solve_their_equations() -> None:
    """Each is the weighted mean of the neighbours that there are; two channels and two rows at once."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 2, 7, 9, generator=generator)
    removed = torch.rand(2, 7, 9, generator=generator) < 0.6
    found = imputed(x, removed)
    assert torch.equal(found.masked_select(~removed[:, None]), x.double().masked_select(~removed[:, None]))
    weights = {(a, b): 1 / 12 if a and b else 1 / 6 for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b}
    for row, i, j in removed.nonzero().tolist():
        near = {(a, b): w for (a, b), w in weights.items() if 0 <= i + a < 7 and 0 <= j + b < 9}
        mean = torch.stack([w * found[row, :, i + a, j + b] for (a, b), w in near.items()]).sum(0) / sum(near.values())
        assert found[row, :, i, j].tolist() == pytest.approx(mean.tolist(), abs=1e-5)


def test_a_black_image_stays_black() -> None:
    assert imputed(torch.zeros(1, 1, 5, 5), torch.rand(1, 5, 5) < 0.9).abs().max() == 0


def test_players_values_count_where_pixels_have_none() -> None:
    x, model, _ = quantus_case()
    game = ask(x, model, None, torch.ones(12, 1))
    assert relevance(game, ["x"])["x"].shape == (12, 8, 8)
    assert set(road(game, torch.Generator())) == {"road_most_relevant_first", "road_least_relevant_first"}


def test_a_row_without_its_image_is_left_out() -> None:
    x, model, entries = quantus_case()
    x[2] = torch.nan
    found = road(ask(x, lambda x: model(x.nan_to_num()), entries), torch.Generator())["road_most_relevant_first"]
    assert found.rows.isnan().nonzero().flatten().tolist() == [2]


def test_memory_changes_nothing_but_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quality_road, "NOISE", 0.0)
    x, model, entries = quantus_case()
    game = ask(x, model, entries)
    small = replace(game, question=replace(game.question, memory=1))
    a, b = (road(each, torch.Generator())["road_most_relevant_first"] for each in (game, small))
    assert a.rows.tolist() == pytest.approx(b.rows.tolist(), abs=1e-5)


def test_tables_have_no_pixels() -> None:
    x = torch.ones(3, 4)
    game = ask(x, lambda x: x, None, torch.ones(3, 1))
    assert road(game, torch.Generator()) == {}


def test_images_of_which_nothing_is_said_pixel_by_pixel_have_their_players_values() -> None:
    """As for a layer's method, which speaks of one of two images."""
    x, model, entries = quantus_case()
    asked = ask(x, model, None).question
    index = {"x": asked.players.index["x"], "y": asked.players.index["x"] + 1}
    asked = replace(
        asked,
        inputs={"x": x, "y": x},
        players=Players(("x", "y"), index),
        background={"x": x, "y": x},
        baseline={"x": 0 * x[:1], "y": 0 * x[:1]},
    )
    values = torch.stack([entries.flatten(1).sum(1), torch.arange(12.0)], dim=1)
    game = game_of(asked, Attribution(values=values, base=torch.zeros(12), entries={"x": entries}))
    maps = relevance(game, ["x", "y"])
    torch.testing.assert_close(maps["x"], entries[:, 0] * game.direction[:, None, None])
    assert maps["y"][:, 3, 5].abs().tolist() == list(range(12))
    drawn = _quality_road._elsewhere(game, ["x", "y"], torch.Generator())
    assert drawn["x"].flatten(1).sort().values.tolist() == maps["x"].flatten(1).sort().values.tolist()
    assert not torch.equal(drawn["x"], maps["x"])
    found = road(game, torch.Generator())["road_most_relevant_first"]
    assert not bool(found.rows.isnan().any())
