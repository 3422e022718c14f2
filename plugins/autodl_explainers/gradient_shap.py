"""Gradients at random places between background rows and the row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Integer, Space
from autodl_explainers import _gradients, _sampling


class GradientShap(Explainer):
    """Integrated gradients with a distribution as baseline, each estimated by one place on the way.

    The limit of many samples is not the Shapley value, unless the model is linear. Background rows take turns, in an
    order drawn by chance; all explained rows share the draws, so that a row's answer does not hang on the others.

    Reference:
        Erion, Janizek, Sturmfels, Lundberg, Lee: Improving Performance of Deep Learning Models with Axiomatic
        Attribution Priors and Expected Gradients, arXiv 1906.10670, section 2.2.
        Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874.
    """

    space: ClassVar[Space] = Space(
        samples=Integer(20, 500, log=True, default=100, limits=(2, 100_000), doc="gradients taken for each row"),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient."""
        return _gradients.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """The base is the mean output over the background."""
        samples = self.settings["samples"]
        entries, values, error = _sampling.averaged(_draws(question, samples), question.players)
        base = _gradients.outputs(question, question.background)[:, question.target].mean()
        evaluations = samples * len(question) + len(next(iter(question.background.values())))
        return Attribution(values, base, entries, error, evaluations=evaluations)


def _draws(question: Question, samples: int) -> Iterator[dict[str, Tensor]]:
    """One estimate after the other. Shape: → {input: rows *shape}."""
    generator = torch.Generator().manual_seed(question.seed)
    count = len(next(iter(question.background.values())))
    turns = torch.cat([torch.randperm(count, generator=generator) for _ in range(-(-samples // count))])
    places = torch.rand(samples, generator=generator, dtype=torch.float64)
    fitting = _gradients.rows_at_once(question)
    together = max(1, fitting // len(question))
    for first in range(0, samples, together):
        some = slice(first, min(first + together, samples))
        start = {name: question.background[name][turns[:samples][some]].unsqueeze(1) for name in question.names}
        way = {name: question.inputs[name] - start[name] for name in question.names}  # draws rows *shape
        between = {name: start[name] + _shaped(places[some], each) * each for name, each in way.items()}
        stacked = replace(question, inputs={name: each.flatten(0, 1) for name, each in between.items()})
        slopes = _gradients.slopes(stacked, fitting)
        found = {name: slopes[name].view_as(each) * each for name, each in way.items()}
        for draw in range(len(places[some])):
            yield {name: each[draw] for name, each in found.items()}


def _shaped(places: Tensor, like: Tensor) -> Tensor:
    """One number a draw, to be spread over its rows."""
    return places.to(like).view(-1, *[1] * (like.dim() - 1))
