"""Reasons that several explainers share for not answering."""

from __future__ import annotations

import torch
from torch import nn

from autodl.attribution import Question


def first(*reasons: str | None) -> str | None:
    """The first reason that there is."""
    return next((reason for reason in reasons if reason is not None), None)


def opaque(question: Question) -> str | None:
    """Gradients need a torch module that autograd sees through."""
    if not isinstance(question.model, nn.Module):
        return (
            "what is explained is no torch module, or holds members that have no gradient (trees, neighbours); "
            "use shapley, or explain one network of it"
        )
    return None


def rewritable(question: Question) -> str | None:
    """Methods that look into layers need an eager module."""
    found = opaque(question)
    if found is None and any(_hidden(each) for each in question.model.modules()):  # type: ignore[attr-defined]
        return (
            "the module is scripted, traced or compiled, so that its layers cannot be looked into; hand over the eager "
            "one"
        )
    return found


def _hidden(module: nn.Module) -> bool:
    """Whether it is compiled; what torch compiles with is slow to import, and asked by name therefore."""
    return isinstance(module, torch.jit.ScriptModule) or type(module).__name__ == "OptimizedModule"


def missing(question: Question) -> str | None:
    """There is no gradient towards an input that is not there."""
    for name in question.names:
        gone = question.inputs[name].flatten(1).isnan().any(1).nonzero().flatten()
        if len(gone):
            return (
                f"input '{name}' is missing in {len(gone)} of {len(question)} rows (the first is row {int(gone[0])}), "
                "and there is no gradient towards what is not there; use shapley, or leave these rows out"
            )
    return None


def named(question: Question) -> str | None:
    """Ids of words are names: there is nothing between two of them, and no slope from one to the next."""
    for name in question.names:
        spec = question.specs.get(name)
        if spec is not None and spec.vocabulary:
            return (
                f"input '{name}' holds ids of words, which are names and no quantities: there is no gradient towards "
                "them, and nothing between two of them; use shapley, lime, feature_ablation or occlusion, or leave the "
                "input out"
            )
    return None
