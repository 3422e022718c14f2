"""What torch's operations are to an explainer: affine, element-wise, pools, products; others written out in these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

Form: TypeAlias = Literal["affine", "elementwise", "pool", "product", "other"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOVES = _words("""
    cat stack clone alias detach detach_copy lift_fresh lift_fresh_copy view _unsafe_view _reshape_alias expand permute
    transpose t squeeze unsqueeze select slice split split_with_sizes unsafe_split unsafe_split_with_sizes unbind
    diagonal flip roll repeat
""")
"""Operations that lay numbers out anew, and compute nothing."""
SUMS = _words("""
    add sub rsub neg sum mean cumsum tril triu constant_pad_nd unfold im2col col2im pixel_shuffle pixel_unshuffle
    channel_shuffle slice_scatter select_scatter diagonal_scatter
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
    upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    _upsample_bilinear2d_aa
""")
"""Operations that are affine in all their operands together."""
AFFINE: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("div", "index", "gather", "index_select", "grid_sampler_2d", "grid_sampler_3d", "take"), (0,)),
    **dict.fromkeys(("scatter", "scatter_add", "index_add", "index_copy"), (0, 3)),
    **dict.fromkeys(("index_put", "masked_fill"), (0, 2)),
    "lerp": (0, 1),
    "native_batch_norm": (0,),
    "where": (1, 2),
}
"""Operations that are affine in the operands at some positions."""
PRODUCTS = _words("""
    mul mm bmm mv dot addmm addmv addbmm baddbmm addr addcmul lerp convolution linear _trilinear linalg_cross
""")
"""Polynomials of degree 2 in all their operands, affine in any one of them."""
ADDENDS = {
    **dict.fromkeys(("addmm", "addmv", "addbmm", "baddbmm", "addr", "addcmul"), 0),
    **dict.fromkeys(("convolution", "linear"), 2),
}
"""Position of the operand that a product is added to, where there is one."""
POOLS = _words("""
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d max logsumexp
""")
UNTAGGED = _words("hardswish _prelu_kernel log_sigmoid_forward")
"""Element-wise operations that torch does not tag as such."""
SHAPES = _words("""
    zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided
""")
"""Operations that read nothing of their operand but its shape."""


def name_of(func: Any) -> str:
    """``aten.add.Tensor`` → ``add``."""
    return str(func.overloadpacket.__name__)


def tensors_of(found: Any) -> list[Tensor]:
    """The tensors that an operation returned."""
    return [each for each in tree_flatten(found)[0] if isinstance(each, Tensor)]


def form_of(func: Any, positions: Collection[int], args: Sequence[Any], kwargs: dict[str, Any]) -> Form:
    """What an operation is in the operands at these positions; keyword arguments count as position -1."""
    name = name_of(func)
    if name in POOLS:  # ``max`` over all entries, or of two tensors, is something else
        return "pool" if list(positions) == [0] and (name != "max" or func._overloadname == "dim") else "other"
    if name == "native_batch_norm" and args[5]:  # statistics of the batch
        return "other"
    if name in MOVES or name in SUMS:
        return "affine"
    if set(positions) <= set(AFFINE.get(name, ())) and kwargs.get("rounding_mode") is None:
        return "affine"
    if name in PRODUCTS:
        return "product" if len(set(positions) - {ADDENDS.get(name)}) > 1 else "affine"
    if name == "where":
        return "product"
    if name == "_to_copy":
        return "affine" if (kwargs.get("dtype") or torch.float32).is_floating_point else "elementwise"
    return _pointwise(func, positions)


def _pointwise(func: Any, positions: Collection[int]) -> Form:
    tagged = torch.Tag.pointwise in func.tags or name_of(func) in UNTAGGED
    return "elementwise" if tagged and len(positions) == 1 and -1 not in positions else "other"


def _softmax(x: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    return _log_softmax(x, dim).exp()


def _log_softmax(x: Tensor, dim: int, *_: Any) -> Tensor:
    return x - torch.logsumexp(x, [dim], keepdim=True)


def _centred(x: Tensor, dims: list[int], eps: float) -> Tensor:
    """Less its mean, by its standard deviation."""
    apart = x - x.mean(dims, keepdim=True)
    return apart * ((apart * apart).mean(dims, keepdim=True) + eps).rsqrt()


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _layer_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    return _scaled(_centred(x, list(range(-len(shape), 0)), eps), weight, bias), None, None


def _group_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> Any:
    n, c, _, groups, eps = rest
    inner = (1, c, *[1] * (x.dim() - 2))
    found = _centred(x.reshape(n, groups, -1), [-1], eps).reshape(x.shape)
    shaped = (each if each is None else each.view(inner) for each in (weight, bias))
    return _scaled(found, *shaped), None, None


def _instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> Any:
    if len(x) != 1:  # rows side by side, as instance normalisation lays them, are one "row" here
        raise NotImplementedError
    inner = (1, -1, *[1] * (x.dim() - 2))
    shaped = (each if each is None else each.view(inner) for each in (weight, bias))
    return _scaled(_centred(x, list(range(2, x.dim())), rest[-1]), *shaped), None, None


def _cudnn_batch_norm(*args: Any) -> Any:
    """CUDA's own has no gradient outside of training."""
    return torch.ops.aten.native_batch_norm.default(*args)[0], None, None, None


def _rms_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None, eps: float | None) -> Any:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    scale = ((x * x).mean(list(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    return _scaled(x * scale, weight, None), None


def _var(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    if dim is None:
        raise NotImplementedError
    dims = list(dim)
    apart = x - x.mean(dims, keepdim=True)
    count = 1
    for each in dims:
        count *= x.shape[each]
    return (apart * apart).sum(dims, keepdim=keepdim) / (count - (1 if correction is None else correction))


def _std(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _var(x, *args, **kwargs).sqrt()


def _norm(x: Tensor, order: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, **_: Any) -> Tensor:
    if dim is None or order not in (1, 2):
        raise NotImplementedError
    dims = list(dim)
    if order == 1:
        return x.abs().sum(dims, keepdim=keepdim)
    return (x * x).sum(dims, keepdim=keepdim).sqrt()


def _glu(x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    return value * gate.sigmoid()


def _amax(x: Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> Tensor:
    if not dim:
        raise NotImplementedError
    dims = sorted(each % x.dim() for each in dim)
    for each in reversed(dims):
        x = x.max(each, keepdim=keepdim).values
    return x


def _amin(x: Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> Tensor:
    return -_amax(-x, dim, keepdim)


def _min(x: Tensor, dim: int, keepdim: bool = False) -> Any:
    values, indices = (-x).max(dim, keepdim=keepdim)
    return -values, indices


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    shape = np.broadcast_shapes(a.shape, b.shape)
    return torch.stack([a.expand(shape), b.expand(shape)])


def _maximum(a: Tensor, b: Tensor) -> Tensor:
    return _stacked(a, b).max(0).values


def _minimum(a: Tensor, b: Tensor) -> Tensor:
    return -_maximum(-a, -b)


def _div(a: Tensor, b: Tensor, *, rounding_mode: str | None = None) -> Tensor:
    if rounding_mode is not None:
        raise NotImplementedError
    return a * b.reciprocal()


def _addcdiv(a: Tensor, b: Tensor, c: Tensor, *, value: float = 1) -> Tensor:
    return a + value * b * c.reciprocal()


def _masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    return torch.where(mask, torch.as_tensor(value, dtype=x.dtype, device=x.device), x)


def _rrelu(x: Tensor, noise: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    if training:
        raise NotImplementedError
    return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)


def _copy(target: Tensor, source: Tensor, *_: Any) -> Tensor:
    return source.to(target.dtype).expand(target.shape).clone()


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    return torch.logsumexp(_stacked(a, b), [0])


def _comparison(compare: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Two numbers are compared by their difference."""
    return lambda a, b: compare(a - b, 0.0)


WRITTEN_OUT: dict[str, Callable[..., Any]] = {
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _instance_norm,
    "cudnn_batch_norm": _cudnn_batch_norm,
    "_fused_rms_norm": _rms_norm,
    "var": _var,
    "std": _std,
    "linalg_vector_norm": _norm,
    "glu": _glu,
    "amax": _amax,
    "amin": _amin,
    "min": _min,
    "maximum": _maximum,
    "minimum": _minimum,
    "div": _div,
    "addcdiv": _addcdiv,
    "masked_fill": _masked_fill,
    "logaddexp": _logaddexp,
    "copy": _copy,
    "rrelu_with_noise": _rrelu,
    **{name: _comparison(getattr(torch, name)) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
}
"""Operations in terms of others that have a form; ``NotImplementedError`` where they cannot be written so."""
