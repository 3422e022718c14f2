"""What a column's value does to the output: on average, row by row, and locally."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Integer, Space
from autodl_explainers._curves import Grid, grid, local_effects
from autodl_explainers._donors import Jobs, answers, divided, varying
from autodl_explainers._objections import first


class PartialDependence(Explainer):
    """The output along a curve of values that background rows show, with everything else as each explained row has it.

    A player that is one number has its points at evenly spaced quantiles of it, rising; so has one with a single number
    among its entries: a number with a mark for missing cells (over the rows whose marks are the usual ones), a date (by
    its age). Any other, such as a category or an image, has its distinct values, the most frequent first.

    ``values`` are the standard deviation of each mean curve, each point counting by the background rows that it stands
    for. Their standard error is that of other explained rows of the same origin (the delta method over rows); None with
    a single row.

    ``found["curves"]`` holds for each player by name:

    * ``donors`` (points): the background row whose value stands at each point;
    * ``ice`` (rows points): the output of each explained row there;
    * ``mean`` (points): partial dependence, their mean;
    * ``ale`` (points): accumulated local effects, with mean 0: what the number does among rows that are like it, where
      columns go together; None for players that are no single number;
    * ``counts`` (points): the background rows for which the point stands;
    * ``ordered``: whether the points rise by a number.

    Reference:
        Friedman: Greedy Function Approximation: A Gradient Boosting Machine, Annals of Statistics 29 (2001),
        section 8.2.
        Goldstein, Kapelner, Bleich, Pitkin: Peeking Inside the Black Box, arXiv 1309.6392.
        Apley, Zhu: Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models,
        arXiv 1612.08468.
        Greenwell, Boehmke, McCarthy: A Simple and Effective Model-Based Variable Importance Measure, arXiv 1805.04755,
        with points weighted by the rows that they stand for.
    """

    local: ClassVar[bool] = False
    space: ClassVar[Space] = Space(
        points=Integer(5, 50, default=20, limits=(2, 1000), doc="most values that a curve is worked out at"),
        centred=Choice(
            *(False, True),
            doc="whether each row's curve, and their mean, start from 0, so that only their shapes differ",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """No values in common, or inputs that cannot be put together from parts."""
        return first(varying(question), divided(question, question.inputs))

    def attribute(self, question: Question) -> Attribution:
        """See the class."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """The curves of all outputs come from the same rows through the model."""
        grids = [grid(question, player, int(self.settings["points"])) for player in range(len(question.players))]
        curves, evaluations = _curves(question, grids, targets)
        return [
            self._answer(question, grids, [curve[position] for curve in curves], target, evaluations)
            for position, target in enumerate(targets)
        ]

    def _answer(
        self, question: Question, grids: Sequence[Grid], curves: Sequence[Tensor], target: int, evaluations: int
    ) -> Attribution:
        found: dict[str, dict[str, Any]] = {}
        importance = [_importance(curve, at.counts) for curve, at in zip(curves, grids, strict=True)]
        for at, curve in zip(grids, curves, strict=True):
            ale = None
            if at.beside is not None:
                ale, sent = local_effects(question, at, target)
                evaluations += sent
            ice = curve - curve[:, :1] if self.settings["centred"] else curve
            found[question.players.names[at.player]] = {
                "donors": at.donors,
                "ice": ice,
                "mean": ice.mean(0),
                "ale": ale,
                "counts": at.counts,
                "ordered": at.axis is not None,
            }
        several = len(question) > 1
        values, errors = (torch.stack(each).unsqueeze(0) for each in zip(*importance, strict=True))
        return Attribution(
            values=values,
            base=values.new_zeros(()),
            standard_error=errors if several else None,
            evaluations=evaluations,
            found={"curves": found},
            notes=() if several else ("One row says nothing of how curves differ between rows: there is no error.",),
        )


def _curves(question: Question, grids: Sequence[Grid], targets: Sequence[int]) -> tuple[list[Tensor], int]:
    """Outputs of every row at every point. Shape: → for each grid targets rows points."""
    donors = torch.cat([at.donors for at in grids])
    player = torch.cat([torch.full_like(at.donors, at.player) for at in grids])
    rows, points = len(question), len(donors)
    row = torch.arange(rows, device=donors.device).repeat_interleave(points)
    jobs = Jobs.single(row, donors.repeat(rows), player.repeat(rows), len(question.players))
    asked = list(targets)
    found = torch.cat(
        [each[:, asked].double() for _, each in answers(question, question.inputs, question.background, jobs)]
    )
    curves = found.view(rows, points, len(asked)).permute(2, 0, 1)
    return list(torch.split(curves, [len(at.donors) for at in grids], 2)), len(jobs)


def _importance(ice: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation of the mean curve and its standard error. Shape: rows points, points → (), ()."""
    share = counts.double() / counts.sum()
    off = ice - (ice * share).sum(1, keepdim=True)  # row by row, lest what rows differ in blurs a flat curve
    curve = off.mean(0)
    spread = (share * curve**2).sum().sqrt()
    if len(ice) < 2 or spread == 0:
        return spread, torch.zeros_like(spread)
    parts = off @ (share * curve / spread)  # what each row adds to the spread, to first order
    return spread, parts.std() / len(ice) ** 0.5
