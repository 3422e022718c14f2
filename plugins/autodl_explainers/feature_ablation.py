"""By how much the output falls when a player is replaced by the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl_explainers import _gradients, _removal


class FeatureAblation(Explainer):
    """Each player alone is taken out, the others stay; two that stand in for each other both look needless.

    Works on any callable. A missing input can be replaced as a whole only: parts of it get 0.

    Reference:
        Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, arXiv 1311.2901, section 4.2.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "baseline"

    def objection(self, question: Question) -> str | None:
        """Where a row's output is not its own."""
        return _gradients.mixing(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are f(x) - f(x without the player)."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """The model answers for all outputs at once."""
        drops = _removal.drops(question, len(question.players), _removal.of_players(question))
        evaluations = len(question) * (len(question.players) + 1)
        return [Attribution(drops[..., target], zeros(()), evaluations=evaluations) for target in targets]
