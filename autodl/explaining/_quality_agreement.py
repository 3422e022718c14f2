"""Whether explanations agree: those of several methods, and those of one method with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autodl.attribution import Attribution
from autodl.errors import ExplanationError
from autodl.explaining._quality_correlation import spearman
from autodl.explaining._quality_game import Found, shuffled
from autodl.explaining._quality_measure import Measure, measured

if TYPE_CHECKING:
    import pandas as pd


def stability(explain_by_seed: Callable[[int], Tensor], seeds: Sequence[int], *, seed: int = 0) -> Measure:
    """Return how alike a method's answers are that differ in its seed alone.

    The mean Spearman correlation of values over pairs of seeds, row by row; random explanations have about 0. The
    curve holds each value's standard deviation over seeds as ``deviation`` (rows players).

    Args:
        explain_by_seed: Seed → rows players.
        seeds: At least two.
        seed: Of the random explanations.

    Raises:
        ExplanationError: There are fewer than two seeds.
    """
    if len(set(seeds)) < 2:
        raise ExplanationError(f"seeds must be at least two different ones, however they are {list(seeds)}; add some")
    values = torch.stack([explain_by_seed(each).detach().double().cpu() for each in seeds])
    present = (values != 0).any(0)
    pairs = torch.combinations(torch.arange(len(values))).tolist()
    rows = torch.stack([spearman(values[a], values[b], present) for a, b in pairs]).mean(0)
    generator = torch.Generator().manual_seed(seed)
    dealt = torch.stack([shuffled(each, present, generator) for each in values])
    random = torch.stack([spearman(dealt[a], dealt[b], present) for a, b in pairs]).mean(0)
    about = "mean rank correlation of the values between runs that differ in their seed alone"
    found = Found(rows, random, {"deviation": values.std(0)})
    return measured("stability", found, True, about)


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far methods agree, each a square table of methods, mean over rows, and what random values would get.

    Attributes:
        rank_correlation: Spearman's correlation of |values|.
        top: Share of the most important players that two methods have in common.
        sign: Share of the most important players that they have in common with the same sign.
        random: What two random explanations get, by the table's name.
        count: How many players count as the most important.
    """

    rank_correlation: pd.DataFrame
    top: pd.DataFrame
    sign: pd.DataFrame
    random: Mapping[str, float]
    count: int


def agreement(attributions: Mapping[str, Attribution], count: int = 5) -> Agreement:
    """Return how far several methods agree about the same rows and players.

    Players to whom no method gives anything in a row are left out of it.

    Args:
        attributions: Method → its answer. One that answers for all rows together says the same of each.
        count: How many players count as the most important; at most half of them do, and at least one.

    Raises:
        ExplanationError: They speak of different rows or players.

    Reference:
        Satyapriya Krishna, Tessa Han, Alex Gu, Javin Pombra, Shahin Jabbari, Steven Wu, Himabindu Lakkaraju: The
        Disagreement Problem in Explainable Machine Learning, arXiv 2202.01602, section 3 (feature agreement, sign
        agreement, rank correlation).
    """
    import pandas as pd

    names = list(attributions)
    values = _aligned(attributions)
    present = (values != 0).any(0)
    players = values.shape[2]
    count = max(1, min(count, players // 2))
    places = [_places(each.abs(), present) for each in values]
    tables = {name: torch.zeros(len(names), len(names)) for name in ("rank_correlation", "top", "sign")}
    for a in range(len(names)):
        for b in range(len(names)):
            both = (places[a] < count) & (places[b] < count) & present
            most = present.sum(1).clamp(1, count)
            alike = both & (values[a].sign() == values[b].sign())
            tables["rank_correlation"][a, b] = spearman(values[a].abs(), values[b].abs(), present).nanmean()
            tables["top"][a, b] = (both.sum(1) / most).mean()
            tables["sign"][a, b] = (alike.sum(1) / most).mean()
    share = float((present.sum(1).clamp(1, count) / present.sum(1).clamp_min(1)).mean())
    frames = {name: pd.DataFrame(table.numpy(), index=names, columns=names) for name, table in tables.items()}
    return Agreement(**frames, random={"rank_correlation": 0.0, "top": share, "sign": share / 2}, count=count)


def _aligned(attributions: Mapping[str, Attribution]) -> Tensor:
    """All values. Shape: → methods rows players."""
    values = [each.values.detach().double().cpu() for each in attributions.values()]
    rows = max((len(each) for each in values), default=0)
    shapes = {(rows if len(each) == 1 else len(each), each.shape[1]) for each in values}
    if len(shapes) != 1 or not next(iter(shapes))[1]:
        told = ", ".join(f"{name} {tuple(each.values.shape)}" for name, each in attributions.items()) or "none"
        raise ExplanationError(
            f"explanations that are compared must give values to the same rows and players, however they are: {told}; "
            "ask all of them one question"
        )
    return torch.stack([each.expand(rows, -1) for each in values])


def _places(values: Tensor, present: Tensor) -> Tensor:
    """Each player's place from the highest value, 0, down; the first of equals is ahead, who is absent last."""
    order = values.masked_fill(~present, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
