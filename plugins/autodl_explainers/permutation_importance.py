"""How much worse predictions become where a column is shuffled among rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from autodl.attribution import Attribution, Labelled, Question
from autodl.contracts import Explainer
from autodl.space import Integer, Space
from autodl_explainers._donors import Deadline, Jobs, answers, divided, outputs, varying
from autodl_explainers._objections import first


class PermutationImportance(Explainer):
    """Mean rise of the loss of labelled rows, where each row gets one player's entries from another row.

    The rows are put in a random order on a circle, and each takes from the next: every ordered pair of different rows
    is equally likely, so that the expectation is that over all pairs. ``question.target`` plays no part, since the loss
    judges all outputs together: each output that is asked for gets the same answer.

    The standard error holds for other rows of the same origin as well as for other shuffles. With d(i, r) the rise of
    row i in shuffle r, and s(i) the mean of its rises as the one that takes plus the mean rise of those that took from
    it, its square is (variance of s over rows - variance of all d / shuffles) / rows: a row's part in a mean over
    pairs, less what shuffles alone add to that variance; at least the variance of the mean over shuffles.

    ``found``: ``loss``, the mean loss of the rows as they are; ``rows``, positions of the labelled rows that were used.

    Reference:
        Breiman: Random Forests, Machine Learning 45 (2001), section 10.
        Fisher, Rudin, Dominici: All Models are Wrong, but Many are Useful, arXiv 1801.01489, section 3.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    local: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("labelled",)
    space: ClassVar[Space] = Space(
        repeats=Integer(1, 50, default=5, limits=(1, 10_000), doc="shuffles of each column"),
        rows=Integer(
            *(100, 10_000),
            log=True,
            default=2000,
            limits=(2, 10**9),
            doc="most labelled rows, drawn by chance from more",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Nothing to shuffle, or nothing that fits elsewhere."""
        labelled = _labelled(question)
        count = len(labelled.targets)
        few = f"at least 2 labelled rows are needed to shuffle among, however {count} came; hand over more"
        return first(
            few if count < 2 else None,
            varying(question),
            divided(question, labelled.inputs, "labelled rows"),
        )

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """One answer for all: the loss knows no target."""
        return [self.attribute(question)] * len(targets)

    def attribute(self, question: Question) -> Attribution:
        """See the class."""
        generator = torch.Generator().manual_seed(question.seed)
        kept, labelled = _drawn(_labelled(question), int(self.settings["rows"]), generator)
        plain = labelled.loss(outputs(question, labelled.inputs), labelled.targets).double()
        deadline = Deadline(question)
        rises: list[Tensor] = []
        givers: list[Tensor] = []
        for _ in range(int(self.settings["repeats"])):
            giver = _circles(len(plain), len(question.players), generator).to(plain.device)
            rises.append(_losses(question, labelled, giver) - plain.unsqueeze(1))
            givers.append(giver)
            if deadline.over:
                break
        rise, giver = torch.stack(rises), torch.stack(givers)
        return Attribution(
            values=rise.mean((0, 1)).unsqueeze(0),
            base=rise.new_zeros(()),
            standard_error=_standard_error(rise, giver).unsqueeze(0),
            evaluations=len(plain) + rise.numel(),
            found={"loss": float(plain.mean()), "rows": kept},
            notes=(
                f"The rise of the mean loss of {len(plain)} labelled rows over {len(rise)} shuffles; all outputs are "
                "judged together, so that it is the same for each.",
            ),
        )


def _labelled(question: Question) -> Labelled:
    assert question.labelled is not None
    return question.labelled


def _drawn(labelled: Labelled, most: int, generator: torch.Generator) -> tuple[Tensor, Labelled]:
    """Some rows, and which."""
    count = len(labelled.targets)
    if count <= most:
        return torch.arange(count), labelled
    kept = torch.randperm(count, generator=generator)[:most].sort().values
    on = kept.to(labelled.targets.device)
    inputs = {name: x[on] for name, x in labelled.inputs.items()}
    return kept, replace(labelled, inputs=inputs, targets=labelled.targets[on])


def _circles(rows: int, players: int, generator: torch.Generator) -> Tensor:
    """For each player the row that each row takes from: never itself, each row giving once. Shape: → rows players."""
    order = torch.rand(rows, players, generator=generator, dtype=torch.float64).argsort(0)
    return torch.empty_like(order).scatter_(0, order, order.roll(-1, 0))


def _losses(question: Question, labelled: Labelled, giver: Tensor) -> Tensor:
    """The loss of each row with each player shuffled. Shape: rows players → rows players."""
    rows, players = giver.shape
    row = torch.arange(rows, device=giver.device).repeat_interleave(players)
    player = torch.arange(players, device=giver.device).repeat(rows)
    jobs = Jobs.single(row, giver.flatten(), player, players)
    found = [
        labelled.loss(output, labelled.targets[row[part]]).double()
        for part, output in answers(question, labelled.inputs, labelled.inputs, jobs)
    ]
    return torch.cat(found).view(rows, players)


def _standard_error(rise: Tensor, giver: Tensor) -> Tensor:
    """See the class. Shape: repeats rows players, the row that each took from → players."""
    repeats, rows, _ = rise.shape
    given = torch.zeros_like(rise).scatter_(1, giver, rise)  # the rise of the one that took from a row
    parts = (rise + given).mean(0)
    shuffles = rise.flatten(0, 1).var(0) / repeats
    among = rise.mean(1).var(0) / repeats if repeats > 1 else torch.zeros_like(shuffles)
    return ((parts.var(0) - shuffles) / rows).maximum(among).clamp_min(0).sqrt()
