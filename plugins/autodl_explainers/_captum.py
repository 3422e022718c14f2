"""Speaks Captum: named inputs ↔ tuples in sorted order, one column, rows and steps that fit the memory.

Captum differentiates a list of one output a row; here it is their sum, which gives the same numbers several times
faster. Ablation and occlusion are not asked of it: it blends inputs by multiplication, which a missing input's NaN
does not survive, and answers in float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from autodl.attribution import Question
from autodl_explainers._gradients import Column, chunks, frozen, joined, leaves, rows_at_once, value_and_gradient


def saliency(question: Question, *, signed: bool) -> dict[str, Tensor]:
    """Gradients, or their sizes. Shape: → {input: rows *shape}."""
    from captum.attr import Saliency

    return _ask(question, Saliency, abs=not signed)


def input_x_gradient(question: Question) -> dict[str, Tensor]:
    """Gradients times inputs. Shape: → {input: rows *shape}."""
    from captum.attr import InputXGradient

    return _ask(question, InputXGradient)


def integrated_gradients(question: Question, steps: int) -> dict[str, Tensor]:
    """Gradients along the way from the baseline, times its length. Shape: → {input: rows *shape}."""
    from captum.attr import IntegratedGradients

    baselines = tuple(question.baseline[name] for name in question.names)
    weights, places = _nodes(steps)
    parts = []
    with frozen(question):
        method = _fast(IntegratedGradients(Column(question)))
        fitting = rows_at_once(question)
        for part in chunks(question, max(1, fitting // steps)):
            inputs = leaves(part.inputs, part.names)
            total: list[Any] = [0.0] * len(inputs)
            for start in range(0, steps, fitting):  # more than once only where a single row's steps do not fit
                some = slice(start, start + fitting)
                cut = (weights[some], places[some])
                # the method behind ``attribute``, which would solve for the nodes again on every call
                found = method._attribute(inputs, baselines, n_steps=len(cut[0]), step_sizes_and_alphas=cut)
                total = [whole + each.detach() for whole, each in zip(total, found, strict=True)]
            parts.append(dict(zip(part.names, total, strict=True)))
    return joined(parts)


@cache
def _nodes(steps: int) -> tuple[list[float], list[float]]:
    """Weights and places of Gauss and Legendre's rule on [0, 1]."""
    from captum.attr._utils.approximation_methods import approximation_parameters

    weights, places = approximation_parameters("gausslegendre")
    return weights(steps), places(steps)


def _ask(question: Question, method: Any, **settings: Any) -> dict[str, Tensor]:
    """Put the question some rows at a time."""
    parts = []
    with frozen(question):
        asked = _fast(method(Column(question)))
        for part in chunks(question, rows_at_once(question)):
            found = asked.attribute(leaves(part.inputs, part.names), **settings)
            parts.append({name: each.detach() for name, each in zip(part.names, found, strict=True)})
    return joined(parts)


def _fast(method: Any) -> Any:
    """The same, with gradients of the outputs' sum."""
    method.gradient_func = _summed
    return method


def _summed(
    forward_fn: Any, inputs: tuple[Tensor, ...], target_ind: object = None, additional_forward_args: object = None
) -> tuple[Tensor, ...]:
    """As Captum calls for gradients; a column has no target to choose and no further arguments."""
    return value_and_gradient(forward_fn, inputs)[1]
