"""How strongly the output answers to each entry: the size of the gradient."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Space
from autodl_explainers import _captum, _gradients


class Saliency(Explainer):
    """The gradient at the row itself; it says nothing of how far an entry is from the usual.

    Reference:
        Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks: Visualising Image Classification Models and
        Saliency Maps, arXiv 1312.6034, section 3.1.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    space: ClassVar[Space] = Space(
        signed=Choice(False, True, doc="whether gradients keep their sign, instead of their size alone"),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient."""
        return _gradients.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries."""
        entries = _captum.saliency(question, signed=self.settings["signed"])
        return Attribution(question.players.pooled(entries), zeros(()), entries, evaluations=len(question))
