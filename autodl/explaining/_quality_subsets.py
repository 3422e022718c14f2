"""Measures that hold sums of values against what taking players away does."""

from __future__ import annotations

import torch
from torch import Tensor

from autodl.explaining._quality_correlation import pearson
from autodl.explaining._quality_game import RANDOM, ROUNDING, Found, Game, draw

SUBSETS = 64
"""Random sets of players that are taken away, for each row."""
MOST_STEPS = 64
"""Steps of the faithfulness estimate; with fewer players each is a step of its own."""


def infidelity(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """How far sums of values miss what taking the players away does, over random sets of every size alike.

    ``infidelity`` is the mean of (sum of values - drop of the output)²: values are contributions, so that the
    perturbation is not multiplied once more. ``infidelity_scaled`` compares methods that speak in other units: values
    are multiplied by the factor ≥ 0 that suits them best, and what is left is told as share of the mean square of the
    drops: 0 is perfect, 1 is what saying nothing gets.

    Reference:
        Chih-Kuan Yeh, Cheng-Yu Hsieh, Arun Sai Suggala, David I. Inouye, Pradeep Ravikumar: On the (In)fidelity and
        Sensitivity of Explanations, NeurIPS 2019, arXiv 1901.09392, definition 2.1; optimal scaling: its section 3.
    """
    plain, scaled = [], []
    random: tuple[list[Tensor], list[Tensor]] = ([], [])
    for part in game.parts(SUBSETS):
        size = 1 + (draw((len(part), SUBSETS), generator, part.values.device) * (part.count[:, None] - 1)).floor()
        away = subsets(part, size, generator)
        drops = drops_of(part, away)
        plain.append(squared_miss(part.values, away, drops))
        scaled.append(scaled_miss(part, away, drops))
        others = [part.shuffled(generator) for _ in range(RANDOM)]
        random[0].append(torch.stack([squared_miss(each.values, away, drops) for each in others]).mean(0))
        random[1].append(torch.stack([scaled_miss(each, away, drops) for each in others]).mean(0))
    return {
        "infidelity": Found(torch.cat(plain), torch.cat(random[0])),
        "infidelity_scaled": Found(torch.cat(scaled), torch.cat(random[1])),
    }


def faithfulness_correlation(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """Correlation of sums of values with drops of the output, over random sets of half of the players.

    Reference:
        Umang Bhatt, Adrian Weller, José M. F. Moura: Evaluating and Aggregating Feature-based Model Explanations,
        IJCAI 2020, arXiv 2005.00631, definition 3.
    """
    rows, random = [], []
    for part in game.parts(SUBSETS):
        size = torch.div(part.count, 2, rounding_mode="floor").clamp_min(1)[:, None].expand(-1, SUBSETS)
        away = subsets(part, size, generator)
        drops = drops_of(part, away)
        rows.append(agreement_of(part, away, drops))
        draws = [agreement_of(part.shuffled(generator), away, drops) for _ in range(RANDOM)]
        random.append(torch.stack(draws).mean(0))
    return {"faithfulness_correlation": Found(torch.cat(rows), torch.cat(random))}


def faithfulness_estimate(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """Correlation of values with the drops of the output where that player alone is taken away.

    With more players than steps, groups of neighbours in the order of values are taken away together.

    Reference:
        David Alvarez-Melis, Tommi S. Jaakkola: Towards Robust Interpretability with Self-Explaining Neural Networks,
        NeurIPS 2018, arXiv 1806.07538, section 4.
    """
    rows, random = [], []
    steps = min(MOST_STEPS, game.values.shape[1])
    for part in game.parts(steps):
        away = _neighbours(part, steps, generator)
        drops = drops_of(part, away)
        rows.append(agreement_of(part, away, drops))
        draws = []
        for _ in range(RANDOM):
            other = part.shuffled(generator)
            if steps < game.values.shape[1]:  # else everybody is alone, whatever the order
                away = _neighbours(other, steps, generator)
                drops = drops_of(other, away)
            draws.append(agreement_of(other, away, drops))
        random.append(torch.stack(draws).mean(0))
    return {"faithfulness_estimate": Found(torch.cat(rows), torch.cat(random))}


def subsets(game: Game, size: Tensor, generator: torch.Generator) -> Tensor:
    """Random sets of present players. Shape: rows many → rows many players."""
    shape = (*size.shape, game.values.shape[1])
    drawn = draw(shape, generator, game.values.device).masked_fill(~game.present[:, None], 2)
    return (drawn.argsort(dim=2).argsort(dim=2) < size[:, :, None]) & game.present[:, None]


def drops_of(game: Game, away: Tensor) -> Tensor:
    """f(x) less the output without some players. Shape: rows many players → rows many."""
    return game.whole[:, None] - game.outputs(~away)


def squared_miss(values: Tensor, away: Tensor, drops: Tensor) -> Tensor:
    """Mean of (sum of values - drop)². Shape: rows players, rows many players, rows many → rows."""
    return (_sums(values, away) - drops).square().mean(1)


def scaled_miss(game: Game, away: Tensor, drops: Tensor) -> Tensor:
    """The same with the best factor, as share of the drops' mean square; NaN where there are none. Shape: → rows."""
    sums = _sums(game.values, away)
    both = (sums * drops).mean(1).clamp_min(0)
    miss = 1 - both.square() / (sums.square().mean(1) * drops.square().mean(1)).clamp_min(1e-300)
    return torch.where(_moves(game, drops), miss.clamp(0, 1), torch.nan)


def agreement_of(game: Game, away: Tensor, drops: Tensor) -> Tensor:
    """Correlation of sums of values with drops, but of empty sets; NaN where nothing moves. Shape: → rows."""
    found = pearson(_sums(game.values, away), drops, away.any(2))
    return torch.where(_moves(game, drops), found, torch.nan)


def _sums(values: Tensor, away: Tensor) -> Tensor:
    return (away.to(values.dtype) @ values[:, :, None])[:, :, 0]


def _moves(game: Game, drops: Tensor) -> Tensor:
    """Whether any drop is more than rounding."""
    return (drops.abs().amax(1) > ROUNDING * game.whole.abs()) & (game.count >= 2)


def _neighbours(game: Game, steps: int, generator: torch.Generator) -> Tensor:
    """Groups of present players that follow each other in the order of values. Shape: → rows steps players."""
    if steps == game.values.shape[1]:
        return torch.eye(steps, dtype=torch.bool, device=game.values.device) & game.present[:, None]
    each = -(-game.count // steps)
    group = torch.div(game.ranks(game.values, generator), each.clamp_min(1)[:, None], rounding_mode="floor")
    return (group[:, None] == torch.arange(steps, device=group.device)[:, None]) & game.present[:, None]
