"""The training rows that a prediction rests on: a step on them would move it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from autodl.attribution import Attribution, Labelled, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Integer, Space
from autodl_explainers._influence_heads import Gradients, head_gradients, held
from autodl_explainers._influence_layers import Layer, layers
from autodl_explainers._objections import rewritable

MOST_ROWS = 1024
COPIES = 4  # of a row and its gradients that are held while these are worked out


class Influence(Explainer):
    """TracIn at the final weights of the last layers: what one more step on a labelled row would do to the output.

    The score of a labelled row z for an explained row x is -∇f(x) · ∇loss(z), with f the explained output and the
    gradients taken towards the weights of the last layer of every network: to first order the rise of f(x) after a step
    of gradient descent on z, per unit of learning rate. Positive: training on z raised the output; negative: it lowered
    it. This is TracIn with f in the place of the explained row's loss, which needs no target, and reads the same for
    classes and numbers: for a class it has the sign of TracIn with the loss at that class, for its gradient is that of
    -log f, -∇f/f.

    A row that is hard to fit has a large gradient and turns up for everything; ``normalised`` divides by its length.

    ``values`` is empty: nothing is said of players. ``found``:

    * ``scores`` (rows labelled);
    * ``order`` (rows top): positions of the labelled rows with the largest scores, of either sign, the largest first;
    * ``layers``: names of the last layers, one a network.

    Reference:
        Pruthi, Liu, Sundararajan, Kale: Estimating Training Data Influence by Tracing Gradient Descent,
        arXiv 2002.08484; of its checkpoints the last one, and of the layers the last one of each network.
        Hammoudeh, Lowd: Identifying a Training-Set Attack's Target Using Renormalized Influence Estimation,
        arXiv 2201.10055, for ``normalised``.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    needs: ClassVar[tuple[str, ...]] = ("labelled",)
    space: ClassVar[Space] = Space(
        top=Integer(1, 100, default=10, limits=(1, 10**9), doc="labelled rows that are named for each explained row"),
        normalised=Choice(
            *(False, True),
            doc="whether each labelled row's gradient counts by its direction alone, and not by its size",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """No module, or no last layer that has a gradient of its own."""
        return rewritable(question) or _headless(question)

    def attribute(self, question: Question) -> Attribution:
        """See the class."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """The labelled rows' gradients are the same for all outputs."""
        assert question.labelled is not None
        last = [found[-1] for found in layers(question)]
        scores, evaluations = _scores(question, last, targets, bool(self.settings["normalised"]))
        top = min(int(self.settings["top"]), scores.shape[2])
        rows = len(question)
        return [
            Attribution(
                values=each.new_zeros(rows, 0),
                base=each.new_zeros(()),
                evaluations=evaluations,
                found={
                    "scores": each,
                    "order": each.abs().argsort(dim=1, descending=True, stable=True)[:, :top],
                    "layers": tuple(layer.name for layer in last),
                },
                notes=(
                    f"Influence through the last layer alone ({', '.join(sorted({layer.name for layer in last}))}), at "
                    "the final weights: how a step on each row would move the output, not a training without it.",
                ),
            )
            for each in scores
        ]


def _headless(question: Question) -> str | None:
    for position, found in enumerate(layers(question)):
        if not found:
            return (
                f"network {position} of the model calls no layer with weights as a module, so that there is no last "
                "layer to take gradients at; explain it with shapley"
            )
        if found[-1].calls > 1:
            return (
                f"the last layer '{found[-1].name}' of network {position} is called {found[-1].calls} times for a row, "
                "so that its gradient is not that of one call; explain it with shapley"
            )
    return None


def _scores(question: Question, heads: Sequence[Layer], targets: Sequence[int], normalised: bool) -> tuple[Tensor, int]:
    """Scores, and rows sent through the model. Shape: → targets rows labelled."""
    assert question.labelled is not None
    labelled = question.labelled
    blocks, evaluations = [], 0
    modules = [head.module for head in heads]
    for part in _parts(question, heads, len(question), len(targets)):
        inputs = {name: x[part] for name, x in question.inputs.items()}
        mine = head_gradients(question, modules, inputs, lambda outputs: [outputs[:, target] for target in targets])
        columns = []
        for theirs in _labelled_gradients(question, labelled, heads):
            columns.append(_products(mine, theirs, normalised))
        blocks.append(torch.cat(columns, 2))
        evaluations += blocks[-1].shape[1] + blocks[-1].shape[2]
    return torch.cat(blocks, 1), evaluations


def _labelled_gradients(question: Question, labelled: Labelled, heads: Sequence[Layer]) -> Iterator[list[Gradients]]:
    for part in _parts(question, heads, len(labelled.targets), 1):
        inputs: Mapping[str, Tensor] = {name: x[part] for name, x in labelled.inputs.items()}
        targets = labelled.targets[part]

        def losses(outputs: Tensor, targets: Tensor = targets) -> list[Tensor]:
            return [labelled.loss(outputs, targets)]

        yield head_gradients(question, [head.module for head in heads], inputs, losses)[0]


def _products(mine: Sequence[Sequence[Gradients]], theirs: Sequence[Gradients], normalised: bool) -> Tensor:
    """Shape: → targets rows labelled."""
    found = torch.stack(
        [-sum(a.products(b) for a, b in zip(each, theirs, strict=True)) for each in mine]  # type: ignore[misc]
    )
    if not normalised:
        return found
    length = torch.stack([each.squares() for each in theirs]).sum(0).sqrt()
    return found / torch.where(length > 0, length, 1.0)


def _parts(question: Question, heads: Sequence[Layer], count: int, targets: int) -> Iterator[slice]:
    """Slices of rows of which gradients fit into half the memory: explained and labelled ones are held together."""
    size = max(x.element_size() for x in question.inputs.values())
    row = sum(x[0].numel() for x in question.inputs.values())
    each = COPIES * size * (row + targets * held(heads))
    step = max(1, min(MOST_ROWS, question.memory // 2 // each))
    yield from (slice(start, min(count, start + step)) for start in range(0, count, step))
