"""Embeddings of numeric features, which let a network bend quickly along one feature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autodl.encoders._activations import RELU_LIKE, Clip, Cosine, Sine, initialise
from autodl.encoders._settings import keep_options
from autodl.errors import SpaceError
from autodl.records import InputSpec
from autodl.space import Choice, Dimension, Float, Space

MOST_INPUTS = 20_000
"""Embedded features in all that a network should be given: more fill memory and learn nothing."""
BEYOND = 4.0
"""How many of their own widths the outermost bins go on beyond the training rows."""
THINNEST_BIN = 1e-6
"""Bins narrower than this share of a feature's range are rounding noise, and stay empty."""

_EMBEDDING = Choice(
    *("none", "piecewise_linear", "bins", "periodic"),
    doc="how a number is laid out before the first layer: bins = how far it has come through each of its bins",
    default="none",
)
_OF_BINS = ("piecewise_linear", "bins")
_WIDTH = Choice(
    *(4, 8, 16, 32),
    doc="entries that a number becomes",
    when={"embedding": ("piecewise_linear", "periodic")},
    default=16,
    limits=(1, 256),
)
_BINS = Choice(
    *(8, 16, 32, 64),
    doc="bins between quantiles of a number's training values",
    when={"embedding": _OF_BINS},
    default=32,
    limits=(2, 256),
)
_SCALE = Float(
    0.01,
    10.0,
    log=True,
    per_member=True,
    doc="standard deviation of the first frequencies, in waves a unit",
    when={"embedding": ("periodic",)},
    default=0.1,
    limits=(1e-4, 1e3),
)
EMBEDDING_KNOBS: dict[str, Dimension] = {
    "embedding": _EMBEDDING,
    "embedding_width": _WIDTH,
    "bins": _BINS,
    "frequency_scale": _SCALE,
}


def narrow_embedding(space: Space, spec: InputSpec) -> Space:
    """Return the space without what makes no sense for this input: embeddings of nothing, or of too much."""
    count = len(_numeric(spec))

    def fits(size: Any) -> bool:
        return bool(count * size <= MOST_INPUTS)

    if count == 0 or not fits(_WIDTH.options[0]):
        return space.without(*EMBEDDING_KNOBS)
    width = keep_options(_WIDTH, fits)
    if spec.quantiles is not None and fits(_BINS.options[0]):
        return space.with_changes(embedding_width=width, bins=keep_options(_BINS, fits))
    unbinned = keep_options(_EMBEDDING, lambda kind: kind not in _OF_BINS)
    return space.without("bins").with_changes(embedding=unbinned, embedding_width=width)


def embed(spec: InputSpec, settings: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """Return the module that turns a row into one vector, and the vector's width.

    Args:
        spec: The input. Images are flattened; features that are not numeric pass by the embedding.
        settings: Values of ``EMBEDDING_KNOBS``.

    Raises:
        SpaceError: Bins are asked for, and the input has no quantiles.
    """
    if len(spec.shape) > 1:
        return nn.Flatten(), math.prod(spec.shape)
    numeric, features = _numeric(spec), spec.shape[0]
    if settings["embedding"] == "none" or not numeric:
        return nn.Identity(), features
    width = _entries(settings)
    layout: nn.Module
    if settings["embedding"] == "periodic":
        layout = Periodic(len(numeric), width, settings["frequency_scale"])
    elif spec.quantiles is None:
        raise SpaceError("an embedding by bins needs quantiles, however the input has none; use 'periodic'")
    elif settings["embedding"] == "bins":
        layout = Bins(spec.quantiles[:, numeric], settings["bins"])
    else:
        layout = PiecewiseLinear(spec.quantiles[:, numeric], settings["bins"], width)
    if len(numeric) == features:
        return nn.Sequential(layout, nn.Flatten()), features * width
    return Mixed(layout, numeric, features), features + len(numeric) * (width - 1)


def origins(spec: InputSpec, settings: Mapping[str, Any]) -> Tensor:
    """Return where each entry of the vector that ``embed`` makes comes from: its column, or its number.

    Shape: → entries; what bears the same index belongs together.
    """
    mask = spec.feature_mask.flatten()
    numeric = _numeric(spec)
    if len(spec.shape) > 1 or settings.get("embedding", "none") == "none" or not numeric:
        return mask
    others = mask[sorted(set(range(len(mask))) - set(numeric))]
    numbers = torch.tensor(numeric).repeat_interleave(_entries(settings))
    return torch.cat((numbers, len(mask) + others))


class Bins(nn.Module):
    """A number becomes itself, and how far it has come through each of its bins ("PLE").

    The paper's outermost bins go on without end; here they end ``BEYOND`` widths past the training rows, so that a
    far-off value after a thin bin cannot blow up. Bins between equal quantiles stay empty, which keeps all shapes
    independent of the data.

    Args:
        quantiles: ``(points, features)``, ascending, at evenly spaced levels.
        bins: Bins of each feature.

    Shape:
        batch features → batch features 1+bins

    Reference:
        Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, arXiv 2203.05556,
        eq. 1.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, quantiles: Tensor, bins: int) -> None:
        super().__init__()
        points = len(quantiles)
        levels = torch.linspace(0, points - 1, bins + 1, dtype=torch.float64).round().long()
        edges = quantiles[levels].T.to(torch.float64)  # features bins+1
        left, length = edges[:, :-1], edges.diff(dim=1)
        real = length > THINNEST_BIN * (edges[:, -1:] - edges[:, :1])
        first = real & (real.cumsum(1) == 1)
        last = real & (real.flip(1).cumsum(1).flip(1) == 1)
        dtype = torch.get_default_dtype()
        self.register_buffer("left", left.to(dtype))
        self.register_buffer("slope", torch.where(real, 1 / length, 0.0).to(dtype))
        self.clip = Clip(torch.where(first, -BEYOND, 0.0).to(dtype), torch.where(last, 1 + BEYOND, 1.0).to(dtype))

    def parts(self, x: Tensor) -> Tensor:
        """How far each number has come through each bin. Shape: batch features → batch features bins."""
        done: Tensor = self.clip((x.unsqueeze(-1) - self.left).mul_(self.slope))
        return done

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch features 1+bins."""
        return torch.cat((x.unsqueeze(-1), self.parts(x)), dim=-1)


class PiecewiseLinear(Bins):
    """How far a number has come through each of its bins, mapped linearly, then ReLU ("PLE-LR").

    Args:
        quantiles: ``(points, features)``, ascending, at evenly spaced levels.
        bins: Bins of each feature.
        width: Entries that each feature becomes.

    Shape:
        batch features → batch features width

    Reference:
        As ``Bins``, and section 3.4 there.
    """

    def __init__(self, quantiles: Tensor, bins: int, width: int) -> None:
        super().__init__(quantiles, bins)
        features = quantiles.shape[1]
        self.weight = nn.Parameter(torch.empty(features, bins, width))
        self.bias = nn.Parameter(torch.empty(features, 1, width))
        self.activation = nn.ReLU()
        nn.init.normal_(self.weight, std=RELU_LIKE / math.sqrt(bins))  # He
        nn.init.uniform_(self.bias, -1 / math.sqrt(bins), 1 / math.sqrt(bins))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch features width."""
        mapped = torch.baddbmm(self.bias, self.parts(x).transpose(0, 1), self.weight)  # features batch width
        # Side by side first: the activation and its gradient then run over memory in its order.
        bent: Tensor = self.activation(mapped.transpose(0, 1).flatten(1))
        return bent.view(len(x), len(self.bias), -1)


class Periodic(nn.Module):
    """A number becomes cosines and sines of learned frequencies, mapped linearly, then ReLU ("PLR lite").

    Each feature has ``width`` frequencies of its own; the linear map is shared by all features.

    Args:
        features: Features.
        width: Entries that each feature becomes.
        scale: Standard deviation of the first frequencies.

    Shape:
        batch features → batch features width

    Reference:
        Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, arXiv 2203.05556,
        eq. 2. The shared map is that of Gorishniy et al.: TabR, arXiv 2307.14338.
    """

    def __init__(self, features: int, width: int, scale: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(features, width))
        nn.init.normal_(self.frequency, std=scale)
        self.cosine, self.sine = Cosine(), Sine()
        self.linear = initialise(nn.Linear(2 * width, width), RELU_LIKE)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch features width."""
        angle = x.unsqueeze(-1) * (2 * math.pi * self.frequency)
        waves = torch.cat((self.cosine(angle), self.sine(angle)), dim=-1)
        mapped: Tensor = self.activation(self.linear(waves))
        return mapped


class Mixed(nn.Module):
    """Some features are embedded, the others follow as they are.

    Args:
        layout: The embedding.
        numeric: Positions of the features that it takes.
        features: Features in all.
    """

    numeric: Tensor
    others: Tensor

    def __init__(self, layout: nn.Module, numeric: list[int], features: int) -> None:
        super().__init__()
        others = sorted(set(range(features)) - set(numeric))
        self.layout = layout
        self.register_buffer("numeric", torch.tensor(numeric), persistent=False)
        self.register_buffer("others", torch.tensor(others), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch vector."""
        embedded = self.layout(x.index_select(1, self.numeric)).flatten(1)
        return torch.cat((embedded, x.index_select(1, self.others)), dim=1)


def _entries(settings: Mapping[str, Any]) -> int:
    """What a number becomes so many of."""
    return int(1 + settings["bins"] if settings["embedding"] == "bins" else settings["embedding_width"])


def _numeric(spec: InputSpec) -> list[int]:
    return [] if spec.numeric is None else [int(position) for position in spec.numeric.nonzero().flatten()]
