from __future__ import annotations

import pytest
import torch

from autodl_explainers._forms import (
    AFFINE,
    MOVES,
    POOLS,
    PRODUCTS,
    SHAPES,
    SUMS,
    UNTAGGED,
    WRITTEN_OUT,
    form_of,
    name_of,
)

aten = torch.ops.aten
X, Y = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double().unbind(0)
W, B = torch.linspace(0.5, 2, 6).double(), torch.linspace(-1, 1, 6).double()
CASES = {
    "_softmax": (aten._softmax.default, (X, 1, False)),
    "_safe_softmax": (aten._safe_softmax.default, (X, 1)),
    "_log_softmax": (aten._log_softmax.default, (X, 1, False)),
    "native_layer_norm": (aten.native_layer_norm.default, (X, [6], W, B, 1e-5)),
    "native_group_norm": (aten.native_group_norm.default, (X.unsqueeze(0), W[:4], B[:4], 1, 4, 36, 2, 1e-5)),
    "native_batch_norm": (aten.native_batch_norm.default, (X[None], W[:4], B[:4], None, None, True, 0.1, 1e-5)),
    "_fused_rms_norm": (aten._fused_rms_norm.default, (X, [6], W, 1e-5)),
    "var": (aten.var.correction, (X, [1, 2])),
    "std": (aten.std.correction, (X, [1])),
    "linalg_vector_norm": (aten.linalg_vector_norm.default, (X, 2, [1], True)),
    "glu": (aten.glu.default, (X, 1)),
    "amax": (aten.amax.default, (X, [0, 2])),
    "amin": (aten.amin.default, (X, [-1], True)),
    "min": (aten.min.dim, (X, 1)),
    "maximum": (aten.maximum.default, (X, Y[:1])),
    "minimum": (aten.minimum.default, (X, Y[:, :1])),
    "div": (aten.div.Tensor, (X, Y)),
    "addcdiv": (aten.addcdiv.default, (X, Y, X)),
    "masked_fill": (aten.masked_fill.Scalar, (X, X > 0, 2.0)),
    "logaddexp": (aten.logaddexp.default, (X, Y)),
    "copy": (aten.copy.default, (X, Y[:, :1])),
    "rrelu_with_noise": (aten.rrelu_with_noise.default, (X, torch.empty_like(X))),
    **{name: (getattr(aten, name).Tensor, (X, Y.round() + X.round())) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
}


def test_every_written_out_operation_has_a_case():
    assert {*CASES, "cudnn_batch_norm"} == set(WRITTEN_OUT)


def test_batch_norm_as_cuda_calls_it_is_the_usual_one():
    args = (X[None], W[:4], B[:4], B[:4], W[:4], False, 0.1, 1e-5)
    torch.testing.assert_close(WRITTEN_OUT["cudnn_batch_norm"](*args)[0], aten.native_batch_norm.default(*args)[0])


@pytest.mark.parametrize("name", list(CASES))
def test_written_out_it_is_the_same(name):
    func, args = CASES[name]
    theirs, ours = func(*args), WRITTEN_OUT[name](*args)
    if isinstance(theirs, tuple) and name != "min":
        theirs, ours = theirs[0], ours[0]
    torch.testing.assert_close(tuple(ours) if name == "min" else ours, tuple(theirs) if name == "min" else theirs)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("div", (X, Y), {"rounding_mode": "floor"}),
        ("var", (X,), {}),
        ("amax", (X,), {}),
        ("linalg_vector_norm", (X, 3, [1]), {}),
        ("native_batch_norm", (X[None].expand(2, 4, 6, 6), W, B, None, None, True, 0.1, 1e-5), {}),
        ("rrelu_with_noise", (X, X, 0.1, 0.3, True), {}),
    ],
)
def test_what_cannot_be_written_out_says_so(name, args, kwargs):
    with pytest.raises(NotImplementedError):
        WRITTEN_OUT[name](*args, **kwargs)


def test_every_name_is_one_of_torchs():
    """A name spelt wrongly would be a rule that never applies."""
    names = {*AFFINE, *MOVES, *SUMS, *PRODUCTS, *POOLS, *SHAPES, *UNTAGGED, *WRITTEN_OUT}
    assert sorted(name for name in names if not hasattr(aten, name)) == []
    assert len(names) >= len({*MOVES, *SUMS}) + len(POOLS)


@pytest.mark.parametrize(
    ("func", "positions", "form"),
    [
        (aten.div.Tensor, [0], "affine"),
        (aten.div.Tensor, [1], "elementwise"),
        (aten.div.Tensor, [0, 1], "other"),
        (aten.mul.Tensor, [0, 1], "product"),
        (aten.addmm.default, [0, 1], "affine"),
        (aten.addmm.default, [1, 2], "product"),
        (aten.where.self, [1, 2], "affine"),
        (aten.where.self, [0, 1], "product"),
        (aten.index.Tensor, [0], "affine"),
        (aten.index.Tensor, [0, 1], "other"),
        (aten.embedding.default, [1], "other"),
        (aten.max.dim, [0], "pool"),
        (aten.max.default, [0], "other"),
        (aten.relu.default, [0], "elementwise"),
        (aten.pow.Tensor_Tensor, [0, 1], "other"),
        (aten.hardswish.default, [0], "elementwise"),
    ],
)
def test_forms_by_the_operands_that_depend_on_the_inputs(func, positions, form):
    assert form_of(func, positions, (), {}) == form


def test_a_cast_to_whole_numbers_is_a_step_function():
    assert form_of(aten._to_copy.default, [0], (X,), {"dtype": torch.int64}) == "elementwise"
    assert form_of(aten._to_copy.default, [0], (X,), {"dtype": torch.float32}) == "affine"
    assert form_of(aten._to_copy.default, [0], (X,), {}) == "affine"


def test_names():
    assert name_of(aten.add.Tensor) == "add"
