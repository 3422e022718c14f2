"""By how much the output falls when a window of an image is covered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Float, Space
from autodl_explainers import _gradients, _removal

Spread: TypeAlias = Callable[[Tensor], Tensor]


class Occlusion(Explainer):
    """Windows slide over images; in other inputs each player is a window. The baseline stands in what is covered.

    What a window brings is shared evenly by its entries, and an entry's share is the mean over the windows that cover
    it, so that shares do not grow with the window and can be added up.

    Reference:
        Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, arXiv 1311.2901, section 4.2.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "baseline"
    space: ClassVar[Space] = Space(
        window=Float(0.1, 0.5, default=0.25, limits=(0.0, 1.0), doc="side of a window, as a share of the image's"),
        stride=Float(
            0.25, 1.0, default=0.5, limits=(0.0, 1.0), doc="step from window to window, as a share of the window's side"
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Where a row's output is not its own."""
        return _gradients.mixing(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """The model answers for all outputs at once."""
        found: list[dict[str, Tensor]] = [{} for _ in targets]
        evaluations = len(question)
        for name in question.names:
            image = question.inputs[name].dim() == 4
            drops, spread = self._slid(question, name) if image else _one_by_one(question, name)
            evaluations += drops.shape[0] * drops.shape[1]
            for each, target in zip(found, targets, strict=True):
                each[name] = spread(drops[..., target])
        return [Attribution(question.players.pooled(each), zeros(()), each, evaluations=evaluations) for each in found]

    def _slid(self, question: Question, name: str) -> tuple[Tensor, Spread]:
        """Windows of one image input. Shape: → rows windows outputs, and how a window's drop is shared out."""
        x = question.inputs[name]
        down, across = (self._line(side).to(x.device) for side in x.shape[2:])

        def marks(rows: Tensor, part: Tensor) -> dict[str, Tensor]:
            lines, columns = down[part // len(across)], across[part % len(across)]
            covered = lines.unsqueeze(2) & columns.unsqueeze(1)
            return {**_nothing(question, len(rows)), name: covered.unsqueeze(1).expand(-1, *x.shape[1:])}

        def spread(drops: Tensor) -> Tensor:
            grid = drops.view(len(drops), len(down), len(across))
            high, wide = (each.to(drops.dtype) for each in (down, across))
            shares = torch.einsum("rij,ih,jw->rhw", grid, high / high.sum(0), wide / wide.sum(0))
            each: Tensor = shares / (x.shape[1] * high[0].sum() * wide[0].sum())
            return each.unsqueeze(1).expand(-1, *x.shape[1:])

        return _removal.drops(question, len(down) * len(across), marks), spread

    def _line(self, side: int) -> Tensor:
        """Which pixels of a line each window covers; the last one ends with the line. Shape: → windows side."""
        width = max(1, round(self.settings["window"] * side))
        step = max(1, round(self.settings["stride"] * width))
        count = math.ceil((side - width) / step) + 1
        starts = torch.arange(count).mul(step).clamp_max(side - width).unsqueeze(1)
        pixels = torch.arange(side)
        covered: Tensor = (starts <= pixels) & (pixels < starts + width)
        return covered


def _one_by_one(question: Question, name: str) -> tuple[Tensor, Spread]:
    """Players of one input. Shape: → rows players outputs, and how a player's drop is shared out."""
    players, x = question.players, question.inputs[name]
    sizes = players.pooled({name: torch.ones_like(x)})

    def marks(rows: Tensor, part: Tensor) -> dict[str, Tensor]:
        return {**_nothing(question, len(rows)), name: _removal.of_players(question)(rows, part)[name]}

    def spread(drops: Tensor) -> Tensor:
        return players.spread(drops / sizes.clamp_min(1))[name]

    return _removal.drops(question, len(players), marks), spread


def _nothing(question: Question, rows: int) -> dict[str, Tensor]:
    """No entry of any input."""
    no = {name: torch.zeros((), dtype=torch.bool, device=x.device) for name, x in question.inputs.items()}
    return {name: each.expand(rows, *question.inputs[name].shape[1:]) for name, each in no.items()}
