"""Where in an image the last feature maps speak for the output."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import zeros

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Space
from autodl_explainers import _gradients, _maps


class GradCam(Explainer):
    """Coarse: as fine as the last maps larger than one cell, of every network, blown up to the image's size.

    A pixel's value is spread evenly over its channels; entries of inputs that are no images are 0. The spectrogram of a
    sound is an image here. Of one that a network has no maps of, beside others of which it has, a note tells.

    Reference:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization, arXiv 1610.02391, eqs. 1 and 2.
    """

    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "nothing"
    space: ClassVar[Space] = Space(
        sign=Choice(
            "both", "positive", doc="whether what speaks against the output is kept, or cut off as in the paper"
        ),
    )

    def objection(self, question: Question) -> str | None:
        """Where there is no gradient, or no map to be drawn."""
        return _gradients.towards_some(question) or _maps.objection(question)

    def attribute(self, question: Question) -> Attribution:
        """Values are sums over a player's entries, in no unit of the output."""
        maps = _maps.activation_maps(question, positive=self.settings["sign"] == "positive")
        entries = {name: torch.zeros_like(x) for name, x in question.inputs.items()}
        for name, each in maps.items():
            channels = question.inputs[name].shape[1]
            entries[name] += each.unsqueeze(1) / channels
        values, notes = question.players.pooled(entries), _maps.silent(question)
        return Attribution(values, zeros(()), entries, evaluations=len(question), notes=notes)
