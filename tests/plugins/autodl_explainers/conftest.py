"""A zoo of networks that explainers stumble over, each with what DeepLIFT must make of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autodl.attribution import MEMORY, Players, Question


class Dict(nn.Module):
    """Named inputs → a module of one tensor → ``batch outputs``."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs):
        found = self.net(inputs["x"])
        return found.flatten(1)


class Calls(nn.Module):
    """A function over layers of its own, as people write ``forward``."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


class Relu(nn.ReLU):
    """A subclass, which a table of exact types overlooks."""


class First(nn.Module):
    """What a recurrent or attention layer answers first."""

    def __init__(self, layer, times=1):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        return self.layer(*[x] * self.times)[0]


@dataclass(frozen=True)
class Case:
    """A network and rows for it.

    Attributes:
        build: Makes the network.
        shape: Of a row.
        refused: Words of the reason, where DeepLIFT must refuse; empty where it must be exact.
    """

    build: Callable[[], object]
    shape: tuple[int, ...] = (6,)
    refused: str = ""


def mlp(*middle, width=8, wide=None):
    """Two linear layers around some others."""
    return nn.Sequential(nn.Linear(6, width), *middle, nn.Linear(wide or width, 3))


def conv(*middle, side=8, out=None):
    """A convolution, some layers, and a head on what they leave of maps of 4 channels."""
    layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *middle, nn.Flatten())
    with torch.no_grad():
        size = layers.eval()(torch.zeros(2, 2, side, side)).shape[1]
    return nn.Sequential(layers, nn.Linear(size, 3))


def written(function, **layers):
    """A network of which the middle is a function."""
    return nn.Sequential(nn.Linear(6, 8), Calls(function, **layers), nn.LazyLinear(3))


def normed(norm):
    """Running statistics that are not the first ones."""
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def attention(x, layer, **settings):
    """Self-attention."""
    return layer(x, x, x, **settings)[0]


def compiled():
    """A module that is compiled when it first runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler uses what torch gives up
        return torch.compile(mlp(nn.ReLU()))


def traced(scripting=False):
    """A module that hides its layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that scripting is on its way out
        module = Dict(mlp(nn.ReLU())).double()
        return torch.jit.script(module.net) if scripting else torch.jit.trace(module.net, torch.zeros(2, 6).double())


def by_sign(self, x):
    """A choice by what the rows hold."""
    return x if bool(x.sum() > 0) else 2 * x


def assigned(self, x):
    """Parts written in place into a tensor made empty."""
    made = torch.zeros(len(x), 8, dtype=x.dtype)
    made[:, :4] = x[:, :4].relu()
    made[:, 4:] = x[:, 4:] * x[:, :4]
    return made


def by_hand(self, x):
    """The reference's short cut: two constants that are in truth the row's."""
    return x * torch.from_numpy(x.detach().numpy()).abs()


HIDDEN = "hand over the eager one"
IMAGE, SERIES = (2, 8, 8), (5, 8)
ACTIVATIONS = (
    nn.LeakyReLU,
    nn.ELU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.SELU,
    nn.PReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.CELU,
    nn.RReLU,
    nn.Softsign,
    nn.LogSigmoid,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Tanhshrink,
    nn.Softshrink,
)
FUNCTIONS: dict[str, Callable[[object, Tensor], Tensor]] = {
    "pow": lambda self, x: x**2 + x.abs() ** 1.5,
    "constant by x": lambda self, x: 1 / (x.abs() + 1),
    "tensor division": lambda self, x: x / (x.flip(1).abs() + 1),
    "F.relu": lambda self, x: F.relu(x),
    "torch.relu": lambda self, x: torch.relu(x),
    "relu_": lambda self, x: (x * 1).relu_(),
    "F.gelu": lambda self, x: F.gelu(x),
    "clamp": lambda self, x: x.clamp(-0.3, 0.4),
    "cos and sin": lambda self, x: x.cos() + x.sin(),
    "exp and log": lambda self, x: (1 + x.exp()).log(),
    "sqrt and rsqrt": lambda self, x: (x.abs() + 0.1).sqrt() + (x * x + 0.1).rsqrt(),
    "residual": lambda self, x: x + F.relu(x),
    "gate": lambda self, x: x * torch.sigmoid(x.flip(1)),
    "where": lambda self, x: torch.where(x > 0, x, 0.1 * x),
    "where missing": lambda self, x: torch.where(x.isnan(), torch.zeros((), dtype=x.dtype), x).relu(),
    "masked_fill": lambda self, x: x.masked_fill(x < 0, 0.0),
    "maximum": lambda self, x: torch.maximum(x, x.flip(1)) + torch.minimum(x, 2 * x.flip(1)),
    "amax": lambda self, x: x.view(-1, 2, 4).amax((1, 2)).unsqueeze(1),
    "max": lambda self, x: x.view(-1, 2, 4).max(2).values + x.view(-1, 2, 4).min(2).values,
    "norm": lambda self, x: F.normalize(x),
    "var": lambda self, x: x.var(1, keepdim=True) + x.std(1, keepdim=True),
    "lerp and addcmul": lambda self, x: torch.lerp(x, x.tanh(), x.sigmoid()).addcmul(x, x),
    "logsumexp": lambda self, x: x.logsumexp(1, keepdim=True),
    "einsum": lambda self, x: torch.einsum("bi,bj->bij", x, x.tanh()).flatten(1),
    "batch last": lambda self, x: x.T.relu().T.contiguous(),
    "steps": lambda self, x: x.round() + (x > 0.2) * x,
    "assigned": assigned,
}
ZOO: dict[str, Case] = {
    "relu": Case(lambda: mlp(nn.ReLU())),
    "in place": Case(lambda: mlp(nn.ReLU(inplace=True))),
    "in place first": Case(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3))),
    "relu used twice": Case(lambda: (lambda relu: mlp(relu, nn.Linear(8, 8), relu))(nn.ReLU())),
    "linear used twice": Case(lambda: (lambda layer: mlp(nn.ReLU(), layer, nn.ReLU(), layer))(nn.Linear(8, 8))),
    "subclass of relu": Case(lambda: mlp(Relu())),
    "module and function": Case(
        lambda: written(lambda self, x: F.relu(self.a(self.b(x))), a=nn.Linear(8, 8), b=Relu())
    ),
    **{kind.__name__: Case(lambda kind=kind: mlp(kind())) for kind in ACTIVATIONS},
    **{name: Case(lambda function=function: written(function)) for name, function in FUNCTIONS.items()},
    "batch norm 1d": Case(lambda: mlp(normed(nn.BatchNorm1d(8)), nn.ReLU())),
    "batch norm 2d": Case(lambda: conv(normed(nn.BatchNorm2d(4)), nn.ReLU()), IMAGE),
    "dropout": Case(lambda: mlp(nn.Dropout(), nn.ReLU(), nn.AlphaDropout())),
    "layer norm": Case(lambda: mlp(nn.LayerNorm(8), nn.ReLU())),
    "group norm": Case(lambda: conv(nn.GroupNorm(2, 4), nn.ReLU()), IMAGE),
    "instance norm": Case(lambda: conv(nn.InstanceNorm2d(4, affine=True), nn.ReLU()), IMAGE),
    "rms norm": Case(lambda: mlp(nn.RMSNorm(8), nn.ReLU())),
    "glu": Case(lambda: mlp(nn.GLU(), wide=4)),
    "bilinear": Case(lambda: written(lambda self, x: self.both(x, x.tanh()), both=nn.Bilinear(8, 8, 4))),
    "attention": Case(lambda: First(nn.MultiheadAttention(8, 2, batch_first=True), 3), SERIES),
    "attention without weights": Case(
        lambda: Calls(
            lambda self, x: attention(x, self.layer, need_weights=False),
            layer=nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        SERIES,
    ),
    "causal attention": Case(
        lambda: Calls(lambda self, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), SERIES
    ),
    "transformer layer": Case(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SERIES),
    "transformer layer, gelu": Case(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu"), SERIES
    ),
    "softmax last": Case(lambda: nn.Sequential(mlp(nn.ReLU()), nn.Softmax(1))),
    "log softmax last": Case(lambda: nn.Sequential(mlp(nn.ReLU()), nn.LogSoftmax(1))),
    "softmax inside": Case(lambda: mlp(nn.Softmax(1))),
    "conv relu pool": Case(lambda: conv(nn.ReLU(), nn.MaxPool2d(2)), IMAGE),
    "conv pool relu": Case(lambda: conv(nn.MaxPool2d(2), nn.ReLU()), IMAGE),
    "relu tanh": Case(lambda: mlp(nn.ReLU(), nn.Tanh())),
    "relu dropout pool": Case(lambda: conv(nn.ReLU(), nn.Dropout(), nn.Identity(), nn.MaxPool2d(2)), IMAGE),
    "overlapping pool": Case(lambda: conv(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), IMAGE),
    "dilated pool": Case(lambda: conv(nn.MaxPool2d(2, 1, dilation=2, ceil_mode=True)), IMAGE),
    "adaptive pool": Case(lambda: conv(nn.ReLU(), nn.AdaptiveMaxPool2d(3)), IMAGE),
    "F.max_pool2d": Case(lambda: conv(Calls(lambda self, x: F.max_pool2d(F.relu(x), 2))), IMAGE),
    "average pool": Case(lambda: conv(nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)), IMAGE),
    "pool 1d": Case(lambda: nn.Sequential(nn.Conv1d(5, 4, 3), nn.ReLU(), nn.MaxPool1d(3, 2, 1)), SERIES),
    "pool 3d": Case(lambda: nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.MaxPool3d(3, 1)), (1, 6, 6, 6)),
    "upsampled": Case(lambda: conv(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")), IMAGE),
    "transposed convolution": Case(lambda: conv(nn.ReLU(), nn.ConvTranspose2d(4, 2, 3)), IMAGE),
    "local response norm": Case(lambda: conv(nn.LocalResponseNorm(2)), IMAGE),
    "flatten identity conv 1d": Case(
        lambda: nn.Sequential(nn.Conv1d(5, 4, 3), nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)), SERIES
    ),
    "deep residual": Case(lambda: written(lambda self, x: x + self.f(x), f=nn.Sequential(nn.LayerNorm(8), nn.SiLU()))),
    "GRU": Case(lambda: First(nn.GRU(8, 4, batch_first=True)), SERIES, "(GRU) runs"),
    "LSTM": Case(lambda: First(nn.LSTM(8, 4, batch_first=True)), SERIES, "(LSTM) runs"),
    "traced": Case(traced, refused=HIDDEN),
    "scripted": Case(lambda: traced(scripting=True), refused=HIDDEN),
    "compiled": Case(compiled, refused=HIDDEN),
    "function": Case(lambda: lambda inputs: inputs["x"].relu(), refused="is no torch module"),
    "sort": Case(lambda: written(lambda self, x: x.sort(1).values), refused="'sort'"),
    "topk": Case(lambda: written(lambda self, x: x.topk(3).values), refused="'topk'"),
    "argmax": Case(lambda: written(lambda self, x: x * x.argmax(1, keepdim=True)), refused="'argmax'"),
    "max's position": Case(lambda: written(lambda self, x: x * x.max(1, keepdim=True).indices), refused="'mul'"),
    "product over an axis": Case(lambda: written(lambda self, x: x.prod(1, keepdim=True)), refused="'prod'"),
    "mask as index": Case(lambda: written(lambda self, x: x[:, x[0] > 0].sum(1, keepdim=True)), refused="'index'"),
    "looked up": Case(
        lambda: written(lambda self, x: self.of(x.long().clamp(0, 3)).sum(2), of=nn.Embedding(4, 2)),
        refused="'embedding'",
    ),
    "choice by rows": Case(lambda: written(by_sign), refused="net.1"),
    "numpy": Case(lambda: written(by_hand), refused="must"),
    "noise": Case(lambda: written(lambda self, x: F.dropout(x, training=True)), refused="'bernoulli'"),
    "statistics of the batch": Case(
        lambda: mlp(nn.BatchNorm1d(8, track_running_stats=False)), refused="'net.1' (BatchNorm1d)"
    ),
}


@pytest.fixture(params=list(ZOO))
def zoo_case(request):
    """Each network of the zoo with a question about it, in double precision: (case, question)."""
    return _posed(ZOO[request.param])


@pytest.fixture(params=[name for name, case in ZOO.items() if not case.refused])
def exact_case(request):
    """Each network that DeepLIFT must not refuse: a question about it."""
    return _posed(ZOO[request.param])[1]


@pytest.fixture
def zoo_question():
    """Makes a question about the network of that name."""
    return lambda name: _posed(ZOO[name])[1]


def _posed(case):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = case.build()
        if isinstance(net, nn.Module) and case.refused != HIDDEN:
            net = net.double().eval()
            net(torch.zeros(2, *case.shape).double())  # lazy layers take their width
        model = Dict(net).double().eval() if isinstance(net, nn.Module) else net
        rows = torch.randn(5, *case.shape).double()
        return case, _question(model, rows, torch.randn(1, *case.shape).double())


@pytest.fixture(scope="session")
def deep_explainer():
    """The class of shap, whose plots warn of matplotlib's future when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    return shap.DeepExplainer


@pytest.fixture
def question():
    """Makes a question about a module of one tensor: ``question(net, rows, baseline, …)``."""
    return lambda net, *args, **changes: _question(Dict(net), *args, **changes)


def _question(model, rows, baseline=None, *, target=0, background=None, memory=MEMORY):
    shape = rows.shape[1:]
    index = torch.arange(shape.numel()).view(shape)
    baseline = torch.zeros_like(rows[:1]) if baseline is None else baseline
    return Question(
        model,
        {"x": rows},
        target,
        {},
        Players(tuple(f"p{place}" for place in range(shape.numel())), {"x": index}),
        {"x": baseline if background is None else background},
        {"x": baseline},
        memory=memory,
    )
