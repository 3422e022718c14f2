"""DeepLIFT averaged over background rows: a fast approximation of Shapley values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl_explainers import _rescale
from autodl_explainers._differences import attributions
from autodl_explainers._objections import first, missing, named, rewritable


class DeepLiftShap(Explainer):
    """The mean of ``deep_lift`` over all background rows as baselines: values sum to f(x) less the mean output.

    These are not Shapley values, unless the model is additive, and may be far from them: ``shapley`` gives the real
    ones.

    Reference:
        Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874, section 4.2 (Deep SHAP).
        Shrikumar, Greenside, Kundaje: Learning Important Features Through Propagating Activation Differences,
        arXiv 1704.02685.
    """

    complete: ClassVar[bool] = True

    def objection(self, question: Question) -> str | None:
        """As of ``deep_lift``."""
        return first(rewritable(question), named(question), missing(question)) or _rescale.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries; the base is the mean output over the background."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """All targets share the passes."""
        return attributions(question, targets, question.background)
