"""Gradient times input: what a linear model at this row would count up."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Space
from autodl_explainers import _captum, _gradients


class InputXGradient(Explainer):
    """Complete for networks without biases whose activations are piecewise linear, and for no others.

    Reference:
        Shrikumar, Greenside, Shcherbina, Kundaje: Not Just a Black Box: Learning Important Features Through Propagating
        Activation Differences, arXiv 1605.01713, section 2.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    space: ClassVar[Space] = Space(
        origin=Choice("zero", "baseline", doc="where inputs are counted from"),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient."""
        return _gradients.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries."""
        if self.settings["origin"] == "zero":
            entries = _captum.input_x_gradient(question)
        else:
            slopes = _captum.saliency(question, signed=True)
            entries = {name: slopes[name] * (question.inputs[name] - question.baseline[name]) for name in slopes}
        return Attribution(question.players.pooled(entries), zeros(()), entries, evaluations=len(question))
