"""What torch's operations are in steps of a tape; one that is not told here is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from autodl.report._tape import Tape, Value

Bound: TypeAlias = Mapping[str, Any]
"""Arguments by the names of the operation's schema: values, Python numbers, None."""
Lowered: TypeAlias = Value | tuple[Value | None, ...]
Lowering: TypeAlias = Callable[[Tape, str, Bound], Lowered]
Kind = TypeVar("Kind", bound=Lowering)

LOWERINGS: dict[str, Lowering] = {}
"""Operation → what adds its steps and returns where its results lie; None for a result that is not computed."""

MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "view_as",
        "permute",
        "transpose",
        "t",
        "expand",
        "unsqueeze",
        "squeeze",
        "select",
        "slice",
        "clone",
        "detach",
        "alias",
        "contiguous",
        "lift_fresh",
        "repeat",
        "flip",
        "roll",
        "unfold",
        "index_select",
        "index",
        "gather",
        "split",
        "split_with_sizes",
        "unbind",
        "diagonal",
        "narrow",
        "take_along_dim",
        "tile",
    ]
)
"""Operations that only move entries: they are run on positions, which then tell where each entry comes from."""

_SAME = "neg abs sqrt rsqrt exp expm1 log log1p log2 sin cos tan tanh sigmoid relu erf reciprocal floor ceil round sign"
_SAME += " trunc isnan logical_not silu mish hardswish hardsigmoid"
_PAIRS = {"maximum": "maximum", "minimum": "minimum", "logical_and": "and", "logical_or": "or", "atan2": "atan2"}
_PAIRS |= {name: name for name in ("mul", "pow", "eq", "ne", "lt", "le", "gt", "ge")}
_PAIRS |= {"bitwise_and": "and", "bitwise_or": "or"}


def lowers(names: str) -> Callable[[Kind], Kind]:
    """Say which operations a function lowers."""

    def keep(function: Kind) -> Kind:
        LOWERINGS.update(dict.fromkeys(names.split(), function))
        return function

    return keep


def moved(tape: Tape, value: Value, operation: Callable[[Tensor], Any]) -> Lowered:
    """What an operation that only moves entries makes of a value."""
    positions = operation(torch.arange(value.size).view(value.shape))
    if isinstance(positions, Tensor):
        return tape.gather(value, positions.numpy())
    return tuple(tape.gather(value, each.numpy()) for each in positions)


@lowers(_SAME)
def _each(tape: Tape, name: str, a: Bound) -> Value:
    return tape.map(name, a["self"])


@lowers(" ".join(_PAIRS))
def _pair(tape: Tape, name: str, a: Bound) -> Value:
    second = next(a[key] for key in ("other", "exponent") if key in a)
    return tape.zip(_PAIRS[name], a["self"], second)


@lowers("add sub rsub")
def _sum(tape: Tape, name: str, a: Bound) -> Value:
    left, right = (a["other"], a["self"]) if name == "rsub" else (a["self"], a["other"])
    if a["alpha"] != 1:
        right = tape.zip("mul", right, a["alpha"])
    return tape.zip("add" if name == "add" else "sub", left, right)


@lowers("div")
def _quotient(tape: Tape, name: str, a: Bound) -> Value:
    found = tape.zip("div", a["self"], a["other"])
    return tape.map(a["rounding_mode"], found) if a.get("rounding_mode") else found


@lowers("gelu")
def _gelu(tape: Tape, name: str, a: Bound) -> Value:
    return tape.map("gelu_tanh" if a["approximate"] == "tanh" else "gelu", a["self"])


@lowers("softplus leaky_relu elu celu threshold log_sigmoid_forward")
def _with_parameters(tape: Tape, name: str, a: Bound) -> Lowered:
    if name == "log_sigmoid_forward":
        return tape.map("log_sigmoid", a["self"]), None
    if name == "celu":
        return tape.map("elu", a["self"], a["alpha"], 1.0, 1 / a["alpha"])
    wanted = {"softplus": "beta threshold", "leaky_relu": "negative_slope", "elu": "alpha scale input_scale"}
    return tape.map(name, a["self"], *(float(a[key]) for key in wanted.get(name, "threshold value").split()))


@lowers("clamp clamp_min clamp_max hardtanh")
def _clamp(tape: Tape, name: str, a: Bound) -> Value:
    low, high = (a.get("min_val"), a.get("max_val")) if name == "hardtanh" else (a.get("min"), a.get("max"))
    value: Value = a["self"]
    value = value if low is None else tape.zip("maximum", value, low)
    return value if high is None else tape.zip("minimum", value, high)


@lowers("where masked_fill")
def _where(tape: Tape, name: str, a: Bound) -> Value:
    keys = ("condition", "self", "other") if name == "where" else ("mask", "value", "self")
    values = [a[key] if isinstance(a[key], Value) else tape.constant(a[key]) for key in keys]
    shape = np.broadcast_shapes(*(each.shape for each in values))
    return tape.step("where", shape, [tape.broadcast(each, shape) for each in values])


@lowers("nan_to_num")
def _nan_to_num(tape: Tape, name: str, a: Bound) -> Value:
    largest = torch.finfo(torch.float32).max
    ends = zip(("nan", "posinf", "neginf"), (0.0, largest, -largest), strict=True)
    return tape.map("nan_to_num", a["self"], *(usual if a[key] is None else float(a[key]) for key, usual in ends))


@lowers("lerp addcmul addcdiv _prelu_kernel")
def _blend(tape: Tape, name: str, a: Bound) -> Value:
    if name == "lerp":
        return tape.zip("add", a["self"], tape.zip("mul", a["weight"], tape.zip("sub", a["end"], a["self"])))
    if name == "_prelu_kernel":
        bent = tape.zip("mul", a["weight"], tape.zip("minimum", a["self"], 0.0))
        return tape.zip("add", tape.map("relu", a["self"]), bent)
    change = tape.zip("mul" if name == "addcmul" else "div", a["tensor1"], a["tensor2"])
    return tape.zip("add", a["self"], change if a["value"] == 1 else tape.zip("mul", change, a["value"]))


@lowers("_to_copy")
def _cast(tape: Tape, name: str, a: Bound) -> Value:
    dtype = a["dtype"]
    if dtype is None or dtype.is_floating_point:
        return a["self"]  # type: ignore[no-any-return]
    return tape.zip("ne", a["self"], 0.0) if dtype == torch.bool else tape.map("trunc", a["self"])


@lowers("mm bmm addmm baddbmm mv dot addmv")
def _product(tape: Tape, name: str, a: Bound) -> Value:
    keys = next(pair for pair in (("batch1", "batch2"), ("mat1", "mat2"), ("self", "mat2"), ("mat", "vec"),
                                  ("self", "vec"), ("self", "tensor")) if pair[0] in a and pair[1] in a)  # fmt: skip
    left, right = a[keys[0]], a[keys[1]]
    batch = left.shape[0] if len(left.shape) == 3 else 1
    rows = 1 if len(left.shape) == 1 else left.shape[-2]
    columns = 1 if len(right.shape) == 1 else right.shape[-1]
    shape = left.shape[:-1] + (right.shape[-1:] if len(right.shape) > 1 else ())
    found = tape.step("matmul", shape, [left, right], [batch, rows, left.shape[-1], columns])
    if not name.startswith(("add", "badd")):
        return found
    found = found if a["alpha"] == 1 else tape.zip("mul", found, a["alpha"])
    return tape.zip("add", found, a["self"] if a["beta"] == 1 else tape.zip("mul", a["self"], a["beta"]))


@lowers("cat stack")
def _joined(tape: Tape, name: str, a: Bound) -> Value:
    parts = [each for each in a["tensors"] if each.shape != (0,)]
    rank = len(parts[0].shape) + (name == "stack")
    axis = int(a["dim"]) % rank
    if name == "stack":
        parts = [Value(each.slot, (*each.shape[:axis], 1, *each.shape[axis:])) for each in parts]
    lengths = [math.prod(each.shape[axis:]) for each in parts]
    shape = (*parts[0].shape[:axis], sum(each.shape[axis] for each in parts), *parts[0].shape[axis + 1 :])
    return tape.step("join", shape, parts, lengths)


@lowers("sum mean amax amin prod var std logsumexp linalg_vector_norm")
def _reduced(tape: Tape, name: str, a: Bound) -> Value:
    value: Value = a["self"]
    rank, given = len(value.shape), a.get("dim")
    axes = [axis % rank for axis in ([given] if isinstance(given, int) else given or range(rank))]
    rest = [axis for axis in range(rank) if axis not in axes]
    length = math.prod(value.shape[axis] for axis in axes)
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape)] if a.get("keepdim") else None
    shape = [value.shape[axis] for axis in rest] if shape is None else shape
    extra = a.get("ord") if name == "linalg_vector_norm" else a.get("correction")
    turned = tape.moved(value, [*rest, *axes])
    return tape.step("reduce", shape, [turned], name, length, float(1 if extra is None else extra))


@lowers("_softmax _log_softmax sort cumsum max min")
def _along_axis(tape: Tape, name: str, a: Bound) -> Lowered:
    value: Value = a["self"]
    rank = len(value.shape)
    axis = a.get("dim", -1)
    if name in ("max", "min"):
        smaller = _reduced(tape, f"a{name}", {**a, "dim": axis if "dim" in a else None})
        return (smaller, None) if "dim" in a else smaller
    axis %= max(rank, 1)
    order = [*(each for each in range(rank) if each != axis), axis]
    turned = tape.moved(value, order)
    kind = name.strip("_") + ("_down" if name == "sort" and a["descending"] else "")
    found = tape.step("along", turned.shape, [turned], kind, turned.shape[-1] if rank else 1, 0.0)
    back = tape.moved(found, [order.index(each) for each in range(rank)])
    return (back, None) if name == "sort" else back


def _affine(tape: Tape, value: Value, weight: Value | None, bias: Value | None) -> Value:
    value = value if weight is None else tape.zip("mul", value, weight)
    return value if bias is None else tape.zip("add", value, bias)


@lowers("native_layer_norm _fused_rms_norm")
def _layer_norm(tape: Tape, name: str, a: Bound) -> Lowered:
    rms = name == "_fused_rms_norm"
    eps = torch.finfo(torch.float32).eps if a["eps"] is None else a["eps"]
    kind, length = "rms" if rms else "standard", math.prod(a["normalized_shape"])
    even = tape.step("along", a["input"].shape, [a["input"]], kind, length, float(eps))
    done = _affine(tape, even, a["weight"], None if rms else a["bias"])
    return (done, None) if rms else (done, None, None)


@lowers("native_group_norm")
def _group_norm(tape: Tape, name: str, a: Bound) -> Lowered:
    value, length = a["input"], a["input"].size // (a["N"] * a["group"])
    even = tape.step("along", value.shape, [value], "standard", length, a["eps"])
    column = (a["C"], *[1] * (len(even.shape) - 2))
    weights = [None if each is None else Value(each.slot, column) for each in (a["weight"], a["bias"])]
    return _affine(tape, even, *weights), None, None


@lowers("native_batch_norm")
def _batch_norm(tape: Tape, name: str, a: Bound) -> Lowered:
    column = (-1, *[1] * (len(a["input"].shape) - 2))
    width = a["running_mean"].size
    shaped = {
        key: None if a[key] is None else Value(a[key].slot, (width, *column[1:]))
        for key in ("running_mean", "running_var", "weight", "bias")
    }
    scale = tape.map("rsqrt", tape.zip("add", shaped["running_var"] or 0.0, a["eps"]))
    even = tape.zip("mul", tape.zip("sub", a["input"], shaped["running_mean"] or 0.0), scale)
    return _affine(tape, even, shaped["weight"], shaped["bias"]), None, None


@lowers("embedding")
def _embedding(tape: Tape, name: str, a: Bound) -> Value:
    rows, width = a["weight"].shape
    return tape.step("pick", (*a["indices"].shape, width), [a["weight"], a["indices"]], rows, width)


@lowers("_scaled_dot_product_flash_attention_for_cpu")
def _attention(tape: Tape, name: str, a: Bound) -> Lowered:
    query, key, value = a["query"], a["key"], a["value"]
    batch = math.prod(query.shape[:2])
    (rows, inner), columns, width = query.shape[2:], key.shape[2], value.shape[3]
    axes = [0, 1, 3, 2]
    scale = 1 / math.sqrt(inner) if a["scale"] is None else a["scale"]
    shape = (*query.shape[:3], columns)
    odds = tape.step("matmul", shape, [query, tape.moved(key, axes)], [batch, rows, inner, columns])
    odds = tape.zip("mul", odds, scale)
    if a["is_causal"]:
        odds = tape.zip("add", odds, tape.constant(torch.full((rows, columns), -torch.inf).triu(1)))
    if a["attn_mask"] is not None:
        odds = tape.zip("add", odds, a["attn_mask"])
    shares = tape.step("along", shape, [odds], "softmax", columns, 0.0)
    done = tape.step("matmul", (*query.shape[:3], width), [shares, value], [batch, rows, columns, width])
    return done, None


@lowers("zeros_like ones_like full_like new_zeros new_ones")
def _filled(tape: Tape, name: str, a: Bound) -> Value:
    fill = {"zeros": 0.0, "ones": 1.0}.get(name.removeprefix("new_").removesuffix("_like"))
    shape = a["size"] if "size" in a else a["self"].shape
    return tape.constant(torch.full(list(shape), float(a["fill_value"] if fill is None else fill)))


@lowers("copy")
def _copied(tape: Tape, name: str, a: Bound) -> Value:
    positions = np.arange(a["src"].size).reshape(a["src"].shape)
    return tape.gather(a["src"], np.broadcast_to(positions, a["self"].shape))
