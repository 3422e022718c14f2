"""Any input as one vector a row: what learners read that know no pixels, words and sounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from autodl.records import InputSpec

MAP_CHANNELS = 64


def vector_width(spec: InputSpec) -> int:
    """How many numbers ``as_vector`` makes of one row."""
    if spec.axes[0] == "token":
        return spec.shape[1] if spec.summary is None else spec.summary.shape[1]
    if spec.axes[-1] == "time":
        return 2 * math.prod(spec.shape[:-1])
    if _is_map(spec):
        return spec.shape[0]
    return math.prod(spec.shape)


def as_vector(x: Tensor, spec: InputSpec) -> Tensor:
    """One vector a row; NaN where the row is missing.

    A table is its features, an image its pixels, a map of many channels their means over its places. A sound is the
    mean and the standard deviation over time of each frequency. A text is the mean of its tokens' vectors, or, of ids,
    the direction of the sum of what each adds, as in latent semantic analysis.

    Shape:
        rows *shape → rows features

    Reference:
        Deerwester, Dumais, Furnas, Landauer, Harshman: Indexing by Latent Semantic Analysis, JASIS 41 (1990).
    """
    if spec.axes[0] == "token":
        missing = x.flatten(1)[:, :1].isnan()
        return _of_tokens(x.nan_to_num(0.0), spec).masked_fill(missing, torch.nan)
    if spec.axes[-1] == "time":
        return torch.cat([x.mean(-1).flatten(1), x.std(-1, correction=0).flatten(1)], dim=1)
    if _is_map(spec):
        return x.mean((-2, -1))
    return x.flatten(1)


def side_by_side(inputs: Mapping[str, Tensor], specs: Mapping[str, InputSpec]) -> Tensor:
    """All inputs of a row as one vector, in order of their names. Shape: {input: rows *shape} → rows features."""
    return torch.cat([as_vector(inputs[name], specs[name]) for name in sorted(inputs)], dim=1)


def _is_map(spec: InputSpec) -> bool:
    """Whether channels are features that a network found, and no colours."""
    return len(spec.shape) == 3 and spec.shape[0] >= MAP_CHANNELS


def _of_tokens(x: Tensor, spec: InputSpec) -> Tensor:
    """Shape: rows tokens width → rows features."""
    if spec.summary is not None:
        return functional.normalize(functional.embedding_bag(x[:, :, 0].long(), spec.summary.to(x), mode="sum"), dim=1)
    count = x.ne(0).any(-1).sum(1, keepdim=True)
    return x.sum(1) / count.clamp(min=1)
