"""Puts a question to an explainer: audited, seeded, nothing left behind, with its error worked out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.errors import ExplanationError
from autodl.registry import snake_case

LARGEST_GAP = 0.05
"""Share of what is to be explained by which a complete method may miss it before its answer is refused."""
ROUNDING = 1e-4
"""Of the output's own size: gaps below are float32's."""
ROWS_AT_ONCE = 1024
FEW, LOOK = 16, 0.1
"""Rows by which it is told how long one takes; share of the time for looking at background rows before any is taken."""


def ask(explainer: Explainer, question: Question, targets: Sequence[int], *, force: bool = False) -> list[Attribution]:
    """Return one attribution for each of some outputs.

    Args:
        explainer: The method.
        question: Its ``target`` is not looked at.
        targets: The outputs to explain.
        force: Whether to answer in spite of objections; the notes then say so.

    Raises:
        ExplanationError: There is an objection, or the answer misses what it should sum to by too much.
    """
    name = snake_case(type(explainer).__name__)
    lacking = [what for what in explainer.needs if not getattr(question, what)]
    if lacking:
        raise ExplanationError(f"{name} must be given {' and '.join(lacking)}, however there is none; hand it over")
    with untouched(question.model, question.seed):
        objection = explainer.objection(question)
        if objection is not None and not force:
            raise ExplanationError(f"{name} would mislead here: {objection}")
        found = explainer.attribute_all(question, targets)
        outputs = evaluate(question, question.inputs)
    notes = () if objection is None else (f"forced: {objection}",)
    return [
        _finished(replace(each, explainer=name, target=target, notes=(*each.notes, *notes)), explainer, outputs, force)
        for each, target in zip(found, targets, strict=True)
    ]


@torch.no_grad()
def evaluate(question: Question, inputs: Mapping[str, Tensor]) -> Tensor:
    """The model's outputs, some rows at a time. Shape: {input: rows *shape} → rows outputs."""
    rows = len(next(iter(inputs.values())))
    parts = [
        question.model({name: x[start : start + ROWS_AT_ONCE].clone() for name, x in inputs.items()})  # may write there
        for start in range(0, rows, ROWS_AT_ONCE)
    ]
    return torch.cat(parts)


def gaps(attribution: Attribution) -> Tensor:
    """Each row's completeness gap as a share of what is to be explained; 0 where it is rounding. Shape: → rows.

    What is to be explained counts as no less than a twentieth of all values' sizes: where large ones cancel, a gap that
    none of them would show is no reason to refuse them.
    """
    assert attribution.completeness_gap is not None
    assert attribution.output is not None
    gap = attribution.completeness_gap.abs().double()
    sizes = attribution.values.abs().sum(1).double()
    whole = torch.maximum((attribution.output - attribution.base).abs().double(), LARGEST_GAP * sizes)
    noise = ROUNDING * ((attribution.output.abs() + attribution.base.abs()).double() + sizes)
    return torch.where(gap <= noise, 0.0, gap / whole.clamp_min(1e-300))


@contextmanager
def untouched(model: object, seed: int) -> Iterator[None]:
    """Evaluation mode and seeded chance inside; afterwards modes, gradients, flags and hooks are as they were."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    flags = [(parameter.requires_grad, parameter.grad) for parameter in parameters]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for module in modules:
                module.training = False
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for parameter, (flag, grad) in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)
            parameter.grad = grad


def _finished(found: Attribution, explainer: Explainer, outputs: Tensor, force: bool) -> Attribution:
    """The attribution with output and gap, where the gap bears it."""
    found = replace(found, output=outputs[:, found.target])
    if not explainer.complete:
        return found
    assert found.output is not None
    found = replace(found, completeness_gap=found.values.sum(1) - (found.output - found.base))
    worst = float(gaps(found).max())
    if worst <= LARGEST_GAP:
        return found
    said = f"its values miss what they should sum to by {worst:.0%} in one row"
    if not force:
        raise ExplanationError(
            f"{found.explainer} must sum to f(x) - f(baseline), however {said}; give it more steps or samples, "
            "or take another method"
        )
    return replace(found, notes=(*found.notes, f"forced: {said}"))


def few(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """So few rows that they tell how long one takes, and take no long time."""
    return {name: x[:FEW] for name, x in rows.items()}


def within_time(question: Question, seconds: float | None) -> tuple[np.ndarray, float]:
    """Positions of background rows, spread evenly, that may all be asked in a share of the time; seconds a row."""
    some = few(question.background)
    started = time.monotonic()
    evaluate(question, some)
    each = (time.monotonic() - started) / len(next(iter(some.values())))
    there = len(next(iter(question.background.values())))
    count = there if seconds is None else min(there, max(FEW, int(LOOK * seconds / max(each, 1e-9))))
    return np.linspace(0, there - 1, count).round().astype(int), each
