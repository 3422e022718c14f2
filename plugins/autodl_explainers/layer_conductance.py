"""How much of the output flows through each unit of a hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.errors import ExplanationError
from autodl.space import Integer, Space
from autodl_explainers import _gradients, _layers
from autodl_explainers._objections import rewritable

MOST_STEPS = 512
LARGEST_GAP, REFUSED_GAP = 0.01, 0.05
"""Share of f(x) - f(baseline) that a row may miss before more steps are taken, and before there is no answer."""


class LayerConductance(Explainer):
    """Integrated gradients of hidden units: they sum to f(x) - f(baseline) over a layer that all signals pass.

    The units are what enters a layer with weights of its own: for the last one, the last hidden units. In an ensemble
    it is that layer of every network. Gradients of neighbouring steps are averaged and multiplied with how far the
    units move, so that the sum is exact where what follows is linear. Values are empty; ``found`` holds ``layer`` (a
    path for each network), ``names`` of the units, and ``conductance`` ``(rows, units)``.

    Reference:
        Dhamdhere, Sundararajan, Yan: How Important Is a Neuron?, arXiv 1805.12233, definition 1.
        Shrikumar, Su, Kundaje: Computationally Efficient Measures of Internal Neuron Importance, arXiv 1807.09946.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "baseline"
    space: ClassVar[Space] = Space(
        steps=Integer(
            16, 256, log=True, default=50, limits=(1, 4096), doc="gradients taken on the way, before any doubling"
        ),
        layer=Integer(
            1, 8, default=1, limits=(1, 1000), doc="which hidden layer, counted from the output; 1 is the last one"
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient, no such layer, or a way round it."""
        return rewritable(question) or _gradients.objection(question) or self._misplaced(question)

    def attribute(self, question: Question) -> Attribution:
        """Shape of the conductance: rows units.

        Raises:
            ExplanationError: The sum misses f(x) - f(baseline) by more than 5 % in some row.
        """
        places = [each for each in _layers.hidden(question, self.settings["layer"]) if each is not None]
        outputs = _gradients.outputs(question, question.inputs)[:, question.target]
        base = _gradients.outputs(question, question.baseline)[0, question.target]
        steps = self.settings["steps"]
        shares = _conductance(question, places, steps)
        evaluations = (steps + 1) * len(question)
        while steps < MOST_STEPS and len(rows := _gradients.missed(shares, outputs, base, LARGEST_GAP)):
            steps = min(2 * steps, MOST_STEPS)
            shares[rows] = _conductance(question.at(rows), places, steps)
            evaluations += (steps + 1) * len(rows)
        if len(_gradients.missed(shares, outputs, base, REFUSED_GAP)):
            raise ExplanationError(
                f"conductance must sum to f(x) - f(baseline), however after {steps} steps it misses that by more than "
                f"{REFUSED_GAP:.0%} in some row; take a layer nearer to the output, or integrated_gradients"
            )
        found = {
            "layer": tuple(each.path for each in places),
            "names": _layers.names(question, places),
            "conductance": shares,
        }
        return Attribution(shares[:, :0], zeros(()), evaluations=evaluations, found=found)

    def _misplaced(self, question: Question) -> str | None:
        number = self.settings["layer"]
        places = _layers.hidden(question, number)
        if not places or None in places:
            return f"there are fewer than {number} hidden layers in a network; use integrated_gradients"
        through = [each for each in places if each is not None]
        if _layers.way_round(question, through):
            return (
                f"a path leads round layer '{through[0].path}', as in a residual block, so that what flows through it "
                "is not all; take another layer"
            )
        return None


def _conductance(question: Question, places: Sequence[_layers.Place], steps: int) -> Tensor:
    """Shape: → rows units."""
    fitting = max(2, _gradients.rows_at_once(question))
    parts = []
    for part in _gradients.chunks(question, max(1, fitting // (steps + 1))):
        total: Tensor | float = 0.0
        for start in range(0, steps, fitting - 1):  # more than once only where a single row's steps do not fit
            along = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[start : start + fitting]
            units, slopes = _layers.entering(part, places, _between(part, along))
            shaped = ([each.view(len(along), len(part), -1) for each in both] for both in (units, slopes))
            way, slope = (torch.cat(each, 2) for each in shaped)
            total = total + ((slope[1:] + slope[:-1]) / 2 * (way[1:] - way[:-1])).sum(0)
        assert isinstance(total, Tensor)
        parts.append(total)
    return torch.cat(parts)


def _between(question: Question, along: Tensor) -> tuple[Tensor, ...]:
    """Rows on the way from the baseline, place by place. Shape: → places·rows *shape, for each input."""
    found = {}
    for name in question.names:
        x, start = question.inputs[name], question.baseline[name]
        places = along.to(x).view(-1, *[1] * x.dim())
        found[name] = (start + places * (x - start)).flatten(0, 1)
    return _gradients.leaves(found, question.names)
