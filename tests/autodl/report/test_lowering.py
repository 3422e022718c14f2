from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import autodl.report._tape as tape_module
from autodl.report import _lowering
from autodl.report._export import Refusal, export
from autodl.report._tape import Tape, Value

ENGINE = (tape_module.__spec__.origin or "").replace("_tape.py", "tape.js")  # type: ignore[union-attr]
WEIGHT = torch.linspace(-1, 1, 12)
AFFINE = WEIGHT.view(3, 4)
AT = torch.tensor([[[3, 1], [0, 0], [2, 3]]])
POSITIVE = ("sqrt", "rsqrt", "log", "log2", "log1p")
Function = Callable[[Tensor, Tensor], Tensor]

EACH: dict[str, Function] = {
    name: lambda x, y, name=name: getattr(torch, name)(x.abs() + 0.1 if name in POSITIVE else x)  # type: ignore[misc]
    for name in _lowering._SAME.split()
    if hasattr(torch, name)
}
CASES: dict[str, Function] = {
    "silu": lambda x, y: F.silu(x),
    "mish": lambda x, y: F.mish(x * 20),
    "hardswish": lambda x, y: F.hardswish(x * 3),
    "hardsigmoid": lambda x, y: F.hardsigmoid(x * 3),
    "isnan": lambda x, y: torch.where((x.log()).isnan(), y, x),
    "logical": lambda x, y: (x > 0).logical_and(y > 0).float() + (x > 0).logical_or(y > 0).logical_not().float(),
    "bits": lambda x, y: ((x > 0) & (y > 0)).float() - ((x > 0) | (y > 0)).float(),
    "compare": lambda x, y: (x < y).float() + 2 * (x <= 0) + 4 * (x >= y) + 8 * (x == x) + 16 * (x != y),
    "maximum": lambda x, y: torch.maximum(x, y) - torch.minimum(x, y * 2),
    "atan2": lambda x, y: torch.atan2(x, y),
    "pow": lambda x, y: x.abs().pow(y) + 2.0**x + x**3,
    "alpha": lambda x, y: torch.add(x, y, alpha=3) + torch.sub(x, y, alpha=2) + torch.rsub(x, y, alpha=5) + (1 - x),
    "div": lambda x, y: x / y + torch.div(x, 0.3, rounding_mode="floor") + torch.div(x, 0.3, rounding_mode="trunc"),
    "broadcast": lambda x, y: x.unsqueeze(-1) * y.unsqueeze(-2) + torch.linspace(0, 1, 4),
    "gelu": lambda x, y: F.gelu(x * 3) + F.gelu(x * 3, approximate="tanh"),
    "softplus": lambda x, y: F.softplus(x * 30) + F.softplus(x, beta=0.5, threshold=1.0),
    "leaky": lambda x, y: F.leaky_relu(x, 0.2) + F.elu(x, 1.5) + F.selu(x) + F.celu(x, 0.7) + F.threshold(x, 0.1, 9.0),
    "log_sigmoid": lambda x, y: F.logsigmoid(x * 50),
    "clamp": lambda x, y: x.clamp(-0.5, 0.5) + x.clamp_min(0.1) + x.clamp_max(0.2) + F.hardtanh(x) + F.relu6(x * 9),
    "clamp by tensors": lambda x, y: torch.clamp(x, WEIGHT[:4] - 1, WEIGHT[8:]),
    "where": lambda x, y: torch.where(x > 0, y, torch.tensor(3.0)) + x.masked_fill(y > 0, -1.0),
    "nan_to_num": lambda x, y: torch.nan_to_num(x.log(), nan=7.0) + torch.nan_to_num(1 / x.relu(), posinf=5.0),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3) + torch.lerp(x, y, WEIGHT[:4]),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=2) + torch.addcdiv(x, x, y.abs() + 1),
    "prelu": lambda x, y: F.prelu(x, torch.tensor([0.3])),
    "cast": lambda x, y: (x * 5).long().float() + x.bool().float() + x.double().float(),
    "products": lambda x, y: x @ y.mT + F.linear(x[0], WEIGHT.view(3, 4)),
    "vectors": lambda x, y: (x @ WEIGHT[:4]) + torch.dot(x[0, 0], y[0, 0]) + torch.mv(x[0], y[0, 1]),
    "added": lambda x, y: (
        torch.addmm(y[0], x[0], x.new_ones(4, 4), beta=0.5, alpha=2)
        + torch.baddbmm(y, x, WEIGHT.view(1, 12)[:, :4].expand(1, 4, 4), alpha=0.5)
        + torch.addmv(x[0, :, 0], x[0], y[0, 0]).view(1, 3, 1)
    ),
    "join": lambda x, y: torch.cat((x, y, x[:, :1]), 1) + torch.stack((x[:, 0], y[:, 0]), 1).sum(1, keepdim=True),
    "stack": lambda x, y: torch.stack((x, y), -1),
    "reduce": lambda x, y: (
        x.sum(1) + x.mean((0, 1)) + x.amax(1) - x.amin(1) + x.prod(1) + x.var(1) + x.std(1, correction=0)
    ),
    "reduce all": lambda x, y: x.sum() + x.mean() + x.max() - x.min() + x.logsumexp(2, keepdim=True),
    "best": lambda x, y: x.max(2).values - x.min(2).values,
    "norm": lambda x, y: torch.linalg.vector_norm(x, dim=-1) + F.normalize(x, dim=1).sum(-1) + x.norm(p=1, dim=-1),
    "along": lambda x, y: x.softmax(1) + y.log_softmax(-1) + x.cumsum(1),
    "sort": lambda x, y: x.sort(1).values + x.sort(-1, descending=True).values,
    "norms": lambda x, y: F.layer_norm(x, (3, 4), AFFINE, AFFINE + 1) + F.rms_norm(x, (4,), WEIGHT[:4]),
    "group norm": lambda x, y: F.group_norm(x.view(1, 6, 2), 2, WEIGHT[:6], WEIGHT[6:]),
    "batch norm": lambda x, y: F.batch_norm(x, WEIGHT[:3], WEIGHT[9:] + 1, WEIGHT[3:6], WEIGHT[6:9]),
    "embedding": lambda x, y: F.embedding((x > 0).long() + (y > 0).long(), WEIGHT.view(3, 4)),
    "attention": lambda x, y: (
        F.scaled_dot_product_attention(x[None], y[None], x[None])
        + F.scaled_dot_product_attention(x[None], y[None], y[None], is_causal=True)
        + F.scaled_dot_product_attention(x[None], y[None], y[None], attn_mask=WEIGHT[:9].view(3, 3), scale=0.3)
    ),
    "fill": lambda x, y: (
        torch.zeros_like(x) + torch.ones_like(x) + torch.full_like(x, 3.0) + x.new_ones(4) + x.new_zeros(1) + y
    ),
    "in place": lambda x, y: (x - y).mul_(2).relu_().add_(x).clamp_(max=1.5),
    "copy": lambda x, y: (x * 1).copy_(y[:, :1]),
    "moves": lambda x, y: x.roll(1, 2).flip(1).permute(0, 2, 1).reshape(1, 12)[:, ::2].repeat(1, 2).split(4, 1)[1],
    "picked": lambda x, y: x.index_select(2, torch.tensor([3, 0])) + x[:, :, torch.tensor([1, 1])],
    "gathered": lambda x, y: torch.gather(y, 2, torch.ones(1, 3, 2).long()) + torch.take_along_dim(x, AT, 2),
    "parts": lambda x, y: x.unbind(1)[1] + x.chunk(2, 2)[1].sum() + x.diagonal(0, 1, 2).sum() + x.unfold(2, 2, 1).sum(),
} | {f"each {name}": function for name, function in EACH.items()}


class Pair(nn.Module):
    """One of the functions, as a network of two inputs."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.function(inputs["x"], inputs["y"]).flatten().unsqueeze(0)


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page()
    page.add_script_tag(path=ENGINE)
    yield page
    page.close()


def inputs(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(1, 3, 4, generator=generator) for name in "xy"}


def test_every_operation_gives_in_the_page_what_torch_gives(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded on one row, run on another; and no lowering is left out."""
    used = set()
    for name, lowering in list(_lowering.LOWERINGS.items()):

        def noted(*given: Any, name: str = name, lowering: Any = lowering) -> Any:
            used.add(name)
            return lowering(*given)

        monkeypatch.setitem(_lowering.LOWERINGS, name, noted)
    run = """([tapes, x, y]) => Object.fromEntries(Object.entries(tapes).map(([name, tape]) => {
        const found = autodlTape.compile(tape)({x: Float64Array.from(x), y: Float64Array.from(y)});
        return [name, Array.from(found, String)];
    }))"""
    tapes = {name: export(Pair(function), inputs(0)) for name, function in CASES.items()}
    wrong = {name: tape.reason for name, tape in tapes.items() if isinstance(tape, Refusal)}
    known = {name: tape.to_json() for name, tape in tapes.items() if isinstance(tape, Tape)}
    other = inputs(1)
    for name, told in page.evaluate(run, [known, *(other[each].flatten().tolist() for each in "xy")]).items():
        found = torch.tensor([float(each.replace("Infinity", "inf")) for each in told])
        expected = Pair(CASES[name])(other)[0].float()
        if not torch.allclose(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True):
            wrong[name] = f"off by {(found - expected).abs().max()}"
    assert wrong == {}
    assert set(_lowering.LOWERINGS) - used == {"_fused_rms_norm"}  # that only GPUs run; see below


def test_the_fused_norm_of_gpus_is_the_plain_one(page: Any) -> None:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    tape = Tape()
    value = tape.slot(x.shape)
    tape.inputs["x"] = value.slot
    bound = {"input": value, "normalized_shape": [4], "weight": tape.constant(WEIGHT[:4]), "eps": None}
    found, rest = _lowering.LOWERINGS["_fused_rms_norm"](tape, "_fused_rms_norm", bound)  # type: ignore[misc]
    assert isinstance(found, Value)
    assert rest is None
    tape.output = found.slot
    run = "([tape, x]) => Array.from(autodlTape.compile(tape)({x: Float64Array.from(x)}))"
    got = torch.tensor(page.evaluate(run, [tape.to_json(), x.flatten().tolist()])).view(2, 4)
    assert torch.allclose(got, F.rms_norm(x, (4,), WEIGHT[:4]), rtol=1e-5, atol=1e-7)
