"""DeepLIFT: how each entry's difference from one baseline moves the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl_explainers import _rescale
from autodl_explainers._differences import attributions
from autodl_explainers._objections import first, missing, named, rewritable


class DeepLift(Explainer):
    """Differences from the baseline, handed back operation by operation, so that values sum to f(x) - f(baseline).

    The rules are laid over torch's core operations as they run, not over layers: what a network is written with, and
    how often a layer is used, makes no difference.

    * What is affine hands on by its weights.
    * Element-wise functions follow the rescale rule: the slope from baseline to row.
    * A product's factors get half of the change each, the other at the mean of its two values; a quotient is a product
      with the reciprocal. Gates, attention and normalisation (mean, square, reciprocal root) come out of these.
    * A maximum goes by way of the larger of its two values: what it gains there from the baseline belongs to the row's
      largest entry, the rest to the baseline's.
    * Softmax is the exponential of x - log sum exp x, and that one follows the rescale rule through its three parts.

    Whatever has no rule is refused, with the layer: recurrent layers, sorting, positions of maxima, choices of
    ``forward()`` by numbers in the rows.

    Reference:
        Shrikumar, Greenside, Kundaje: Learning Important Features Through Propagating Activation Differences,
        arXiv 1704.02685, sections 3.1, 3.2 and 3.5.2 (rescale rule).
        Ancona, Ceolini, Öztireli, Gross: Towards better understanding of gradient-based attribution methods for Deep
        Neural Networks, arXiv 1711.06104, proposition 2 (as a gradient with other slopes).
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "baseline"
    complete: ClassVar[bool] = True

    def objection(self, question: Question) -> str | None:
        """Where rows are missing, layers are hidden, an operation has no rule, or values do not add up."""
        return first(rewritable(question), named(question), missing(question)) or _rescale.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries; the base is f(baseline)."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """All targets share the passes."""
        return attributions(question, targets, question.baseline)
