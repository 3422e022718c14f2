"""Rows against baselines, every row with every one of them, as many pairs at a time as fit the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl_explainers._rescale import Pair
from autodl_explainers._tape import audit_rows, record_pass

MOST_PAIRS = 2048
"""More at a time run slower: they no longer fit the processor's caches."""
PASSES = 5
"""Passes' worth of values held at a time: two recorded ones, and multipliers on their way."""


@torch.no_grad()
def attributions(question: Question, targets: Sequence[int], baselines: Mapping[str, Tensor]) -> list[Attribution]:
    """DeepLIFT's mean contributions over all baselines, for each target.

    Raises:
        ExplanationError: A pass cannot be recorded, or does not do the same on row and baseline.
    """
    count = len(next(iter(baselines.values())))
    entries = [{name: torch.zeros_like(question.inputs[name]) for name in question.names} for _ in targets]
    base: Tensor | float = 0.0
    for pairs in _chunks(question, len(question) * count):
        rows, against = pairs // count, pairs % count
        pair = Pair.record(
            question.model,
            {name: question.inputs[name][rows] for name in question.names},
            {name: baselines[name][against] for name in question.names},
        )
        for found, target in zip(entries, targets, strict=True):
            for name, each in pair.contributions(target).items():
                found[name].index_add_(0, rows, each / count)
        base = base + pair.baselines.answer[rows == 0].sum(0) / count  # every baseline once
    assert isinstance(base, Tensor)
    return [
        Attribution(question.players.pooled(found), base[target], found, evaluations=2 * len(question) * count)
        for found, target in zip(entries, targets, strict=True)
    ]


def rows_at_once(question: Question) -> int:
    """Rows that can be recorded and gone back over within the question's memory."""
    few = audit_rows(question.inputs)
    each = record_pass(question.model, few).bytes // len(next(iter(few.values())))
    return max(1, min(MOST_PAIRS, question.memory // max(1, PASSES * each)))


def _chunks(question: Question, pairs: int) -> Iterator[Tensor]:
    """Positions of pairs, baselines running fastest."""
    size = rows_at_once(question)
    device = next(iter(question.inputs.values())).device
    for start in range(0, pairs, size):
        yield torch.arange(start, min(pairs, start + size), device=device)
