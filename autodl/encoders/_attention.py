"""Attention over keys that may be absent, quick in packs too, and what transformers make of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from autodl.contracts import Dropout
from autodl.encoders._activations import RELU_LIKE, initialise


class Block(nn.Module):
    """To each token is added what it learns from looking at all, then what a small network makes of that.

    Args:
        width: Entries of a token.
        heads: Ways of looking.
        dropout: Share of what is added that is set to zero.
        last: Whether only the first token looks, and is handed on.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, last: bool) -> None:
        super().__init__()
        self.heads = heads
        self.last = last
        self.norm = nn.LayerNorm(width)
        self.queries = initialise(nn.Linear(width, width))
        self.keys = initialise(nn.Linear(width, width, bias=False))  # the same for all keys, a bias would tell nothing
        self.values = initialise(nn.Linear(width, width))
        self.out = initialise(nn.Linear(width, width))
        self.dropout = Dropout(dropout, (1, width))
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            initialise(nn.Linear(width, 2 * width), RELU_LIKE),
            nn.GELU(),
            initialise(nn.Linear(2 * width, width)),
            Dropout(dropout, (1, width)),
        )

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """Shape: batch tokens width, batch tokens → batch tokens width, or batch 1 width."""
        normed = self.norm(tokens)
        if self.last:
            tokens, asking = tokens[:, :1], normed[:, :1]
        else:
            asking = normed
        parts = (self.queries(asking), self.keys(normed), self.values(normed))
        queries, keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        looked = attend(queries, keys, values, seen).transpose(1, 2).flatten(2)
        tokens = tokens + self.dropout(self.out(looked))
        added: Tensor = self.network(tokens)
        return tokens + added


def waves(tokens: int, width: int) -> Tensor:
    """Return sines and cosines that tell places apart. Shape: → tokens width.

    Reference:
        Vaswani et al., as below, section 3.5.
    """
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angle = torch.arange(tokens).unsqueeze(1) * rate
    return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)[:, :width]


def attend(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """Return each query's mean of the values, weighted by softmax(query · key / sqrt(entries)) over keys there are.

    Shape:
        batch heads queries entries, batch heads keys entries, the same, batch keys → batch heads queries entries

    Reference:
        Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, eq. 1.
    """
    looked: Tensor = _Attention.apply(queries, keys, values, seen)  # type: ignore[no-untyped-call]
    return looked


def _attended(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    mask = seen[:, None, None].expand(-1, 1, queries.shape[2], -1)
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class _Attention(Function):
    """torch's attention, whose kernel for CPUs ``vmap`` cannot stack: members become further rows of the batch."""

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        return _attended(queries, keys, values, seen)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *saved, seen = ctx.saved_tensors
        with torch.enable_grad():
            leaves = [each.detach().requires_grad_() for each in saved]
            queries, keys, values = leaves
            looked = _attended(queries, keys, values, seen)
        return (*torch.autograd.grad(looked, leaves, gradient), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        """Shape: members batch … → members batch …."""
        members: int = info.batch_size
        stacked = [
            each.movedim(dim, 0) if dim is not None else each.expand(members, *each.shape)
            for each, dim in zip(tensors, in_dims, strict=True)
        ]
        looked = attend(*(each.flatten(0, 1) for each in stacked))
        return looked.view(members, -1, *looked.shape[1:]), 0
