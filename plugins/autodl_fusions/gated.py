"""A gate for each input, which reads them all and decides how far each is heeded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Fusion
from autodl.space import Choice, Space
from autodl_fusions._inputs import Inputs, dropout_knob, normalize_knob

CLOSED = -1e4
"""Logit of a gate that is shut for good; infinity would become NaN on its way through explainers."""


class Gated(Fusion):
    """Sum over inputs of gate × tanh(adapted mean token), entry by entry.

    A missing input has no gate: a learned vector of its own, zeros at first, is added in its place, and the gates of
    the others read that too.

    Args:
        widths: Width of the tokens of each input.
        width: Width that each input is brought to, and of the result.
        gate: ``sigmoid``: each gate opens by itself. ``softmax``: gates of inputs that are there compete, with each
            other and with an empty place, so that all may be shut.
        normalize: Whether each input's mean token passes a LayerNorm, so that no input is louder than another.
        dropout: Probability that an entry of the result is dropped in training.

    Reference:
        Arevalo, Solorio, Montes-y-Gómez, González: Gated Multimodal Units for Information Fusion, arXiv 1702.01992
        (the unit for any number of modalities; for two, softmax is what their tied gate becomes with an empty place).
    """

    space: ClassVar[Space] = Space(
        width=Choice(64, 128, 256, limits=(1, 4096), default=128, doc="width that each input is brought to"),
        gate=Choice("sigmoid", "softmax", doc="whether gates open one by one or compete"),
        normalize=normalize_knob(default=True),
        dropout=dropout_knob("share of the fused vector dropped"),
    )

    def __init__(self, widths: Mapping[str, int], *, width: int, gate: str, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.inputs = Inputs(widths, normalize=normalize, width=width)
        self.bend = nn.Tanh()
        self.logits = nn.Linear(len(widths) * width, len(widths) * width)
        self.open: nn.Module = nn.Sigmoid() if gate == "sigmoid" else _Competing()
        self.dropout = Dropout(dropout, (width,))

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch} → batch width."""
        parts = torch.cat(self.inputs(tokens, present), -2)  # batch input width
        there = torch.stack([present[name] for name in self.inputs.names], -1).unsqueeze(-1) > 0
        logits = self.logits(parts.flatten(-2)).view_as(parts)
        gates = self.open(torch.where(there, logits, CLOSED))
        heeded = torch.where(there, gates * self.bend(parts), parts)
        fused: Tensor = self.dropout(heeded.sum(-2))
        return fused


class _Competing(nn.Module):
    """Softmax over inputs and an empty place, whose logit is 0.

    Shape:
        batch input width → batch input width
    """

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(-2)

    def forward(self, logits: Tensor) -> Tensor:
        """Shape: batch input width → batch input width."""
        shares: Tensor = self.softmax(torch.cat((logits, torch.zeros_like(logits[..., :1, :])), -2))
        return shares[..., :-1, :]
