"""Grad-CAM, drawn with the edges that guided backpropagation finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn, zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl_explainers import _captum, _gradients, _maps
from autodl_explainers._objections import rewritable
from autodl_explainers._tape import audit_rows, record_pass

REMARK = (
    "Guided backpropagation draws the edges of an image even for a network with random weights "
    "(arXiv 1810.03292): trust where Grad-CAM points, not what the edges look like."
)


class GuidedGradCam(Explainer):
    """Gradients that pass ReLUs only where they are positive, times the positive part of Grad-CAM.

    Entries of inputs that are no images are 0.

    Reference:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM, arXiv 1610.02391, section 3.2.
        Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity, arXiv 1412.6806, section 3.4.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient or no map, or a layer bends the signal that is not an ``nn.ReLU``."""
        reasons = (check(question) for check in (rewritable, _gradients.towards_some, _maps.objection, _bent))
        return next((reason for reason in reasons if reason is not None), None)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries, in no unit of the output."""
        maps = _maps.activation_maps(question, positive=True)
        with _guided(question):
            slopes = _captum.saliency(question, signed=True)
        entries = {
            name: slopes[name] * maps[name].unsqueeze(1) if name in maps else torch.zeros_like(x)
            for name, x in question.inputs.items()
        }
        values = question.players.pooled(entries)
        notes = (REMARK, *_maps.silent(question))
        return Attribution(values, zeros(()), entries, evaluations=2 * len(question), notes=notes)


@contextmanager
def _guided(question: Question) -> Iterator[None]:
    """Behind each ReLU what is negative in the gradient is cut off.

    On what a ReLU returns, and not on what it gets, whose gradient may hold a part that went round it.
    """

    def cut(_: nn.Module, __: Any, answer: Tensor) -> None:
        if answer.requires_grad:
            answer.register_hook(torch.relu)  # type: ignore[no-untyped-call]

    assert isinstance(question.model, nn.Module)
    handles = [each.register_forward_hook(cut) for each in question.model.modules() if isinstance(each, nn.ReLU)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bent(question: Question) -> str | None:
    """The first step that is not linear, no maximum, and not the work of an ``nn.ReLU``."""
    tape = record_pass(question.model, audit_rows(question.inputs))
    flowing = set(tape.inputs.values())  # slots that a gradient flows through; questions such as isnan end it
    for node in tape.nodes:
        reached = [slot for _, slot in node.operands if slot in flowing]
        if not reached or not tape.values[node.outs[0]].is_floating_point():
            continue
        flowing.update(node.outs[:1] if node.form == "pool" else node.outs)
        straight = node.form in ("affine", "pool") or (node.form == "product" and len(reached) == 1)
        if not straight and not (node.name == "relu" and node.kind is not None and issubclass(node.kind, nn.ReLU)):
            kind = "forward()" if node.kind is None else node.kind.__name__
            where = f"layer '{node.path}' ({kind})" if node.path else kind
            return (
                f"{where} bends the signal by '{node.name}', which is not the work of an nn.ReLU, and guided "
                "backpropagation would take its plain gradient; use grad_cam or integrated_gradients"
            )
    return None
