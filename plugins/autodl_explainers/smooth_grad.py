"""Another gradient method, averaged over copies of the row with noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Float, Integer, Space
from autodl_explainers import _captum, _gradients, _sampling

Base: TypeAlias = Callable[[Question], dict[str, Tensor]]
STEPS = 50
BASES: dict[str, Base] = {
    "saliency": lambda question: _captum.saliency(question, signed=False),
    "input_x_gradient": _captum.input_x_gradient,
    "integrated_gradients": lambda question: _captum.integrated_gradients(question, STEPS),
}
COST = {"saliency": 1, "input_x_gradient": 1, "integrated_gradients": STEPS}


class SmoothGrad(Explainer):
    """Evens out gradients that change from one place to the next. All rows share the draws of noise.

    Reference:
        Smilkov, Thorat, Kim, Viégas, Wattenberg: SmoothGrad: Removing Noise by Adding Noise, arXiv 1706.03825.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    space: ClassVar[Space] = Space(
        base=Choice(*BASES, doc="the method that is averaged"),
        samples=Integer(10, 200, log=True, default=25, limits=(2, 100_000), doc="copies of each row"),
        noise=Float(
            *(0.01, 0.5),
            log=True,
            default=0.15,
            limits=(0.0, 10.0),
            doc="standard deviation of the noise, as a share of each entry's over the background",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient, or nothing to tell by how large the noise should be."""
        if len(next(iter(question.background.values()))) < 2:
            return "the background is a single row, from which no entry's spread can be told; give it more rows"
        return _gradients.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries."""
        base, samples = self.settings["base"], self.settings["samples"]
        draws = _draws(question, samples, self.settings["noise"], BASES[base])
        entries, values, error = _sampling.averaged(draws, question.players)
        evaluations = samples * COST[base] * len(question)
        return Attribution(values, zeros(()), entries, error, evaluations=evaluations)


def _draws(question: Question, samples: int, share: float, base: Base) -> Iterator[dict[str, Tensor]]:
    """The answer to one draw of noise after the other. Shape: → {input: rows *shape}."""
    generator = torch.Generator().manual_seed(question.seed)
    spread = {name: share * question.background[name].std(0) for name in question.names}
    together = max(1, _gradients.rows_at_once(question) // len(question))
    for first in range(0, samples, together):
        count = min(together, samples - first)
        drawn = [{name: _normal(each, generator) * each for name, each in spread.items()} for _ in range(count)]
        noise = {name: torch.stack([each[name] for each in drawn]).unsqueeze(1) for name in spread}
        noisy = {name: (question.inputs[name] + each).flatten(0, 1) for name, each in noise.items()}
        found = base(replace(question, inputs=noisy))
        shaped = {name: each.view(count, *question.inputs[name].shape) for name, each in found.items()}
        for draw in range(count):
            yield {name: each[draw] for name, each in shaped.items()}


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
