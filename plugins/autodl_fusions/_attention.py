"""A block of a transformer, out of operations that explainers can follow and packs can stack."""

from __future__ import annotations

import math

from torch import Tensor, nn

from autodl.contracts import Dropout

MOST_HEADS = 4
EXPANSION = 2
"""Hidden units of the perceptron, in widths."""


class Block(nn.Module):
    """Attention among tokens, then a perceptron on each; both add to what they are given, which they see normalised.

    Keys have no bias, as softmax would not heed it. Attention is written out, as explainers have no rule for torch's
    fused one.

    Args:
        width: Width of tokens; four heads share it where it is a multiple of 4.
        dropout: Probability that a hidden unit of the perceptron is dropped in training, in all tokens of a row.

    Reference:
        Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, section 3.2.
        Xiong et al.: On Layer Normalization in the Transformer Architecture, arXiv 2002.04745 (normalised before).
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = math.gcd(width, MOST_HEADS)
        self.before = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.attend = nn.Softmax(-1)
        self.out = nn.Linear(width, width)
        hidden = EXPANSION * width
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            Dropout(dropout, (1, hidden)),
            nn.Linear(hidden, width),
        )

    def forward(self, x: Tensor, count: int) -> Tensor:
        """Return the first tokens, after they have looked at all.

        Shape:
            x: batch tokens width
            count: how many first tokens are wanted; → batch count width
        """
        normed = self.before(x)
        query = self._split(self.query(normed[:, :count]))
        key, value = self._split(self.key(normed)), self._split(self.value(normed))
        weights = self.attend(query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1]))
        x = x[:, :count] + self.out((weights @ value).transpose(1, 2).flatten(2))
        changed: Tensor = x + self.perceptron(x)
        return changed

    def _split(self, x: Tensor) -> Tensor:
        """Shape: batch tokens (heads width) → batch heads tokens width."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)
