"""Gated hidden layers for tables."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.records import InputSpec
from autodl.space import Choice, Float, Integer, Space


class Swiglu(Encoder):
    """Hidden layers that a second linear map opens and closes (SwiGLU).

    Reference:
        Shazeer: GLU Variants Improve Transformer, arXiv 2002.05202, equation 6.
    """

    space: ClassVar[Space] = Space(
        depth=Integer(1, 3, default=2, doc="gated layers"),
        width=Choice(32, 64, 128, default=64, doc="units of a layer"),
        dropout=Float(0.0, 0.5, per_member=True, default=0.1, doc="share of units set to zero in training"),
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Tables."""
        return len(spec.shape) == 1

    def __init__(self, spec: InputSpec, depth: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        sizes = [spec.shape[0], *[width] * depth]
        self.layers = nn.Sequential(*(_Gated(inputs, width, dropout) for inputs in sizes[:-1]))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch 1 width."""
        vector: Tensor = self.layers(x)
        return vector.unsqueeze(1)


class _Gated(nn.Module):
    """(SiLU(x W) · x V) W₂, with dropout before the last map."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(inputs, width), nn.Linear(inputs, width)
        self.activation = nn.SiLU()
        self.dropout = Dropout(dropout, (width,))
        self.down = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch inputs → batch width."""
        opened: Tensor = self.down(self.dropout(self.activation(self.gate(x)) * self.up(x)))
        return opened
