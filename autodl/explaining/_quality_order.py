"""Deletion and insertion curves, and prediction gaps: is what is called important important?"""

from __future__ import annotations

import torch
from torch import Tensor

from autodl.explaining._quality_game import RANDOM, Found, Game, draw

STEPS = 32
"""Steps of a curve, at most; with fewer players each is a step of its own."""
TOP = 0.25
"""Share of the players that count as the important ones of a row."""
DRAWS = 16
"""Background rows that entries are taken from, for each row."""


def deletion_and_insertion(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """The output while players are taken away, or come in, the one said to matter most first.

    Players are ordered by value in the direction of the whole effect: from the highest where f(x) > f(baseline), else
    from the lowest. Outputs are told as share of what all players together do (1: all of them, 0: none), over all rows
    by one scale, so that rows with no effect do not blow it up; the measure is the area under the curve over the share
    of players. A random order read backwards is one, so that both are told beside the same random curves.

    Reference:
        Vitali Petsiuk, Abir Das, Kate Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models,
        BMVC 2018, arXiv 1806.07421, section 4.2. Wojciech Samek, Alexander Binder, Grégoire Montavon, Sebastian
        Lapuschkin, Klaus-Robert Müller: Evaluating the Visualization of What a Deep Neural Network Has Learned, IEEE
        TNNLS 28 (2017), arXiv 1509.06321 (pixel flipping).
    """
    steps = max(1, min(STEPS, int(game.count.max())))
    away, back, random = [], [], []
    for part in game.parts(steps + 1):
        order = part.ranks(part.values * part.direction[:, None], generator)
        away.append(along(part, order, steps))
        back.append(along(part, order, steps, insert=True))
        draws = [along(part, part.ranks(torch.zeros_like(part.values), generator), steps) for _ in range(RANDOM)]
        random.append(torch.stack(draws).mean(0))
    chance = game.left(torch.cat(random))
    return {
        "deletion": _area(game, torch.cat(away), chance),
        "insertion": _area(game, torch.cat(back), chance.flip(1)),
    }


def along(game: Game, order: Tensor, steps: int, insert: bool = False) -> Tensor:
    """The outputs along an order, nobody moved to everybody. Shape: rows players → rows steps+1."""
    share = torch.arange(steps + 1, device=order.device) / steps
    moved = order[:, None] < (share * game.count[:, None]).round()[:, :, None]
    return game.outputs(moved if insert else ~moved)


def prediction_gaps(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """How far the output moves where the important players, or all others, are given other rows' entries.

    Important are those of the highest |value|, a quarter of a row's players. |f(x) - f(x')| is averaged over draws from
    the background; it is in the output's own unit.

    Reference:
        Vitali Petsiuk, Abir Das, Kate Saenko: RISE, BMVC 2018, arXiv 1806.07421; as PGI and PGU in Chirag Agarwal,
        Satyapriya Krishna, Eshika Saxena et al.: OpenXAI: Towards a Transparent Evaluation of Model Explanations,
        NeurIPS 2022, arXiv 2206.11104, section 3.
    """
    background = game.question.background
    held = len(next(iter(background.values()))) if background else 0
    if not held:
        return {}
    found: dict[str, list[Tensor]] = {name: [] for name in ("pgi", "pgu", "random_pgi", "random_pgu")}
    for part in game.parts(DRAWS):
        filler = (draw((len(part), DRAWS), generator, part.values.device) * held).long().clamp_max(held - 1)
        for way, gap in _gaps(part, part.ranks(part.values.abs(), generator), filler).items():
            found[way].append(gap)
        draws = [_gaps(part, part.ranks(torch.zeros_like(part.values), generator), filler) for _ in range(RANDOM)]
        for way in ("pgi", "pgu"):
            found[f"random_{way}"].append(torch.stack([each[way] for each in draws]).mean(0))
    whole = {way: torch.cat(each) for way, each in found.items()}
    return {way: Found(whole[way], whole[f"random_{way}"]) for way in ("pgi", "pgu")}


def _gaps(game: Game, order: Tensor, filler: Tensor) -> dict[str, Tensor]:
    """Mean gaps with the important players given others' entries, and with all but these. Shape: → {way: rows}."""
    top = order < (TOP * game.count).round().clamp_min(1)[:, None]
    keeps = {"pgi": ~top, "pgu": top}
    enough = game.count >= 2  # else nobody is unimportant
    gaps = {}
    for way, keep in keeps.items():
        moved = game.outputs(keep[:, None].expand(-1, filler.shape[1], -1), filler) - game.whole[:, None]
        gaps[way] = torch.where(enough, moved.abs().mean(1), torch.nan)
    return gaps


def _area(game: Game, outputs: Tensor, random: Tensor) -> Found:
    """The area under each row's curve, by trapezia, with what there is to draw. Shape: rows steps+1 → rows."""
    left = game.left(outputs)
    steps = left.shape[1] - 1
    curve = {
        "share": torch.linspace(0, 1, steps + 1, dtype=torch.float64),
        "explanation": left.mean(0),
        "random": random.mean(0),
        "outputs": outputs,
    }
    own, chance = (
        torch.where(game.count >= 2, torch.trapezoid(each, dx=1 / steps), torch.nan) for each in (left, random)
    )
    return Found(own, chance, curve)
