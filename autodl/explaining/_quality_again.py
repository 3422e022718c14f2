"""Measures that explain again: a little beside the row, and a network that has forgotten what it learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from autodl.attribution import Question
from autodl.errors import ExplanationError
from autodl.explaining._quality_correlation import spearman
from autodl.explaining._quality_game import RANDOM, Found, Game, draw

Explain = Callable[[Question], Tensor]
RADIUS = 0.05
"""Of the background's standard deviation, entry by entry: how far rows are moved."""
SAMPLES = 8
"""Moves of each row."""
STAGES = 4
"""Stages in which a network's layers forget, at most."""


def sensitivity_max(game: Game, explain: Explain, generator: torch.Generator) -> dict[str, Found]:
    """The largest relative change of the values, |a(x + e) - a(x)| / |a(x)|, over some small moves of the row.

    Every entry moves by a uniform number of up to a share of the background's standard deviation there; ids of words,
    which are names, stay. A random explanation is one that deals the values out anew each time.

    Reference:
        Chih-Kuan Yeh, Cheng-Yu Hsieh, Arun Sai Suggala, David I. Inouye, Pradeep Ravikumar: On the (In)fidelity and
        Sensitivity of Explanations, NeurIPS 2019, arXiv 1901.09392, definition 4.1; relative to |a(x)| as in David
        Alvarez-Melis, Tommi S. Jaakkola: On the Robustness of Interpretability Methods, arXiv 1806.08049.
    """
    background, specs = game.question.background, game.question.specs
    spread = {name: each.double().std(0, correction=0) for name, each in background.items() if len(each)}
    spread = {n: torch.zeros_like(each) if n in specs and specs[n].vocabulary else each for n, each in spread.items()}
    if not any(bool((each > 0).any()) for each in spread.values()):
        return {}  # nothing tells what is near
    changes, random = [], []
    for _ in range(SAMPLES):
        moves = {
            name: (2 * draw(tuple(x.shape), generator, x.device) - 1) * RADIUS * spread[name].to(x)
            for name, x in sorted(game.question.inputs.items())
        }
        changes.append(change(game, game.values, explained(game, explain, moved(game.question, moves))))
        random.append(change(game, game.values, game.shuffled(generator).values))
    return {"sensitivity_max": Found(torch.stack(changes).amax(0), torch.stack(random).amax(0))}


def moved(question: Question, moves: dict[str, Tensor]) -> Question:
    """The same question about rows beside its own; what is missing stays missing."""
    return replace(question, inputs={name: x + moves[name].to(x) for name, x in question.inputs.items()})


def change(game: Game, before: Tensor, after: Tensor) -> Tensor:
    """Relative distance; NaN where there is nothing to be relative to. Shape: rows players, rows players → rows."""
    size = before.norm(dim=1)
    moved = torch.where(game.present, after - before, 0.0).norm(dim=1)
    return torch.where(size > 0, moved / size.clamp_min(1e-300), torch.nan)


def parameter_randomisation(game: Game, explain: Explain, generator: torch.Generator) -> dict[str, Found]:
    """How alike |values| are (Spearman) once the network has forgotten what it learned: an explanation should not be.

    A copy's layers are drawn anew from the head down, in some stages, in all networks at once; the measure is what is
    left where all are, the curve tells the stages.

    Reference:
        Julius Adebayo, Justin Gilmer, Michael Muelly, Ian Goodfellow, Moritz Hardt, Been Kim: Sanity Checks for
        Saliency Maps, NeurIPS 2018, arXiv 1810.03292, section 3 (cascading model parameter randomisation).
    """
    question = game.question
    if not isinstance(question.model, nn.Module):
        return {}
    model, networks = copy.deepcopy((question.model, question.networks or (question.model,)))
    forgetful = replace(question, model=model, networks=networks)
    layers = [with_parameters(network) for network in networks]
    stages = min(STAGES, max(map(len, layers)))
    if not stages:
        return {}
    seed = int(torch.randint(2**31, (1,), generator=generator))
    found, signed = [], []
    for stage in range(stages):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed + stage)
            for each in layers:
                forget(each[len(each) * stage // stages : len(each) * (stage + 1) // stages])
        values = explained(game, explain, forgetful)
        found.append(spearman(game.values.abs(), values.abs(), game.present))
        signed.append(spearman(game.values, values, game.present))
    draws = [spearman(game.values.abs(), game.shuffled(generator).values.abs(), game.present) for _ in range(RANDOM)]
    random = torch.stack(draws).mean(0)
    curve = {
        "share": torch.arange(1, stages + 1, dtype=torch.float64) / stages,
        "explanation": torch.stack(found).nanmean(1),
        "signed": torch.stack(signed).nanmean(1),
        "random": random.nanmean().expand(stages),
    }
    return {"parameter_randomisation": Found(found[-1], random, curve)}


def with_parameters(network: nn.Module) -> list[nn.Module]:
    """The modules that hold parameters of their own, those at the head first."""
    return [each for each in network.modules() if next(each.parameters(recurse=False), None) is not None][::-1]


@torch.no_grad()
def forget(layers: Sequence[nn.Module]) -> None:
    """Draw parameters anew: as the module itself does it, else by dealing out each one's own numbers by chance."""
    for layer in layers:
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
            continue
        for parameter in layer.parameters(recurse=False):
            order = torch.randperm(parameter.numel()).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def explained(game: Game, explain: Explain, question: Question) -> Tensor:
    """Values of another question about the same players. Shape: → rows players.

    Raises:
        ExplanationError: ``explain`` gives no value for each player.
    """
    values = explain(question).detach().to(game.values)
    if values.dim() != 2 or values.shape[1] != game.values.shape[1] or len(values) not in (1, len(game)):
        raise ExplanationError(
            f"explain must return a value for each of {len(game)} rows and {game.values.shape[1]} players, however it "
            f"returned {tuple(values.shape)}; sum its entries over question.players"
        )
    return torch.where(game.present, values, 0.0)
