"""Layer-wise relevance propagation with the gamma rule, over plain operations."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.errors import ExplanationError
from autodl.space import Float, Space
from autodl_explainers._differences import rows_at_once
from autodl_explainers._objections import first, missing, named, rewritable
from autodl_explainers._relevance import Relevance
from autodl_explainers._tape import audit_rows, record_pass


class Lrp(Explainer):
    """The output's value, handed back as relevance; there is no baseline to choose.

    * Linear maps and convolutions follow the gamma rule: contributions with the sign of their sum count more by gamma,
      and so does the bias where it has that sign. Gamma 0 on a ReLU network is input × gradient.
    * The bias is one of the terms, and its relevance ends there: values sum to the output less what biases took.
    * Other sums (residual branches, means, average pools, batch normalisation) share by value.
    * Activations pass relevance on, if they make zero of zero; a maximum hands all to its largest entry.

    Anything else is refused with the layer: normalisation by the row's own statistics, attention, gates, softmax,
    activations such as the sigmoid, recurrent layers.

    Reference:
        Bach, Binder, Montavon, Klauschen, Müller, Samek: On Pixel-Wise Explanations for Non-Linear Classifier Decisions
        by Layer-Wise Relevance Propagation, PLOS ONE 10 (2015), eq. 58 (epsilon rule).
        Montavon, Binder, Lapuschkin, Samek, Müller: Layer-Wise Relevance Propagation: An Overview, in Explainable AI,
        Springer LNCS 11700 (2019), chapter 10 (gamma rule, for inputs of at least zero).
        Andéol, Kawakami, Wada, Kanamori, Müller, Montavon: Learning Domain Invariant Representations by Joint
        Wasserstein Distance Minimization, arXiv 2106.04923 (gamma rule for inputs of either sign).
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    space: ClassVar[Space] = Space(
        gamma=Float(0.0, 1.0, default=0.25, limits=(0.0, 100.0), doc="how much more agreeing contributions count"),
        epsilon=Float(1e-9, 1e-3, log=True, default=1e-6, limits=(0.0, 1.0), doc="added to the size of each divisor"),
    )

    def objection(self, question: Question) -> str | None:
        """Where rows are missing, layers are hidden, or relevance meets an operation without a rule."""
        return first(rewritable(question), named(question), missing(question)) or self._unruled(question)

    @torch.no_grad()
    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries; the base is 0."""
        size = rows_at_once(question)
        parts = []
        for start in range(0, len(question), size):
            inputs = {name: question.inputs[name][start : start + size] for name in question.names}
            parts.append(self._relevance(question, inputs).entries(question.target))
        entries = {name: torch.cat([part[name] for part in parts]) for name in question.names}
        values = question.players.pooled(entries)
        return Attribution(values, values.new_zeros(()), entries, evaluations=len(question))

    def _relevance(self, question: Question, inputs: dict[str, torch.Tensor]) -> Relevance:
        return Relevance(record_pass(question.model, inputs), self.settings["gamma"], self.settings["epsilon"])

    @torch.no_grad()
    def _unruled(self, question: Question) -> str | None:
        try:
            self._relevance(question, audit_rows(question.inputs)).entries(question.target)
        except ExplanationError as error:
            return str(error)
        return None
