"""Gradients summed along the straight way from the baseline to the row."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Float, Integer, Space
from autodl_explainers import _captum, _gradients, _path

MOST_STEPS = 512
"""Gradients a row, about, that are spent on this."""


class IntegratedGradients(Explainer):
    """Steps lie and weigh as Gauss and Legendre say.

    Where a row then misses too much of what it should sum to, its way is cut anew, ever finer where the output bends,
    as far as 512 gradients go: for the sake of kinks, and of networks that normalise their maps, whose output jumps
    beside an empty image. ``found["steps"]`` holds each row's steps.

    Reference:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, arXiv 1703.01365, eq. 1.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "baseline"
    complete: ClassVar[bool] = True
    space: ClassVar[Space] = Space(
        steps=Integer(16, 256, log=True, default=50, limits=(1, 4096), doc="gradients taken on the way"),
        tolerance=Float(
            *(0.001, 0.05),
            log=True,
            default=0.01,
            limits=(0.0, 1e6),
            doc="share of f(x) - f(baseline) that a row may miss before its way is cut finer",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient."""
        return _gradients.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries; the base is f(baseline)."""
        steps = self.settings["steps"]
        entries = _captum.integrated_gradients(question, steps)
        outputs = _gradients.outputs(question, question.inputs)[:, question.target]
        base = _gradients.outputs(question, question.baseline)[0, question.target]
        taken = torch.full((len(question),), steps, device=outputs.device)
        evaluations = (steps + 1) * len(question) + 1
        tolerance = self.settings["tolerance"]
        flat = torch.cat([each.flatten(1) for each in entries.values()], 1)
        if len(rows := _gradients.missed(flat, outputs, base, tolerance)):
            better, pieces, asked = _path.refined(question.at(rows), tolerance, MOST_STEPS)
            for name, each in better.items():
                entries[name][rows] = each
            taken[rows] = pieces
            evaluations += asked
        values = question.players.pooled(entries)
        return Attribution(values, base, entries, evaluations=evaluations, found={"steps": taken})
