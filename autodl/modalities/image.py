"""Images from files or arrays, any size, grey or colour, decoded once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from autodl.contracts import Modality, Noise
from autodl.efficientnet import is_installed
from autodl.errors import DataError
from autodl.modalities._decoding import Unreadable, decode, is_empty, is_grey, load, resized
from autodl.modalities._image_features import LEAST_DEVIATION, MAPS, maps_of, prepare
from autodl.records import Column, InputSpec, Schema, Stored, Task
from autodl.space import Choice, Float, Space

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 256  # training images that size, colour and mean are taken from
SEEN_SIDE = 128  # longest side of what the pretrained network looks at, in pixels
ROWS_AT_ONCE = 512  # images that are in memory while it looks


class Image(Modality):
    """One image column, as an input of its name; kept as uint8: its pixels, or what a pretrained network makes of them.

    A cell is an absolute path, or a uint8 array ``(H, W)`` or ``(H, W, 3)``. Every image is stretched to one size: the
    median aspect of the training images, its longer side ``side`` or their median where that is shorter. It is grey
    where the training images are all grey. An encoder sees it less the training mean and divided by the training
    deviation of each channel, so that 0 is the mean colour; size, colour, mean and deviation come from at most 256
    training images drawn by chance. Transparent parts show white. An image that is damaged, absent, above 25
    megapixels or of an unknown format is a missing cell and a problem.

    With ``imagenet`` for features, the images are stretched likewise, in colour and to 128 pixels however small they
    are, and run once through EfficientNet-Lite0. Its last maps are what is kept: ``(1280, 2, 2)``, scaled as pixels
    are. They need its weights in prediction too.

    Augmentation, in this order: flip, shift (edge pixels fill the gap), cutout; maps are changed as images are.

    Reference:
        Cutout: DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout,
        arXiv 1708.04552, section 3.2. Flip and shift: Krizhevsky, Sutskever, Hinton: ImageNet Classification with
        Deep Convolutional Neural Networks, NIPS 2012, section 4.1.
    """

    space: ClassVar[Space] = Space(
        features=Choice(
            *("pixels", *(["imagenet"] if is_installed() else [])),
            doc="what is seen: pixels, or imagenet: maps of a network with weights of a package, trained on ImageNet",
        ),
        side=Choice(64, limits=(8, 512), doc="longest side of the stored images, in pixels; of no matter for imagenet"),
        flip=Choice(
            0.0, 0.5, limits=(0.0, 1.0), per_member=True, doc="probability that a training image is mirrored left-right"
        ),
        shift=Float(
            0.0,
            0.15,
            limits=(0.0, 0.5),
            default=0.0,
            per_member=True,
            doc="farthest a training image is moved, as a share of its height and width",
        ),
        cutout=Float(
            0.0,
            0.5,
            limits=(0.0, 1.0),
            default=0.0,
            per_member=True,
            doc="side of the square erased from a training image, as a share of its shorter side",
        ),
    )

    _shape: tuple[int, int, int]

    @classmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        """Every image column is an input of its own."""
        return {column.name: [column.name] for column in schema.of_kind("image")}

    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        """Look at some training images.

        Raises:
            DataError: None of them can be read.
        """
        imagenet = self._imagenet
        side = SEEN_SIDE if imagenet else self.settings["side"]
        images, sizes, grey = self._sample(rows, side, np.random.default_rng(seed))
        height, width = _common_size(sizes, side, enlarge=imagenet)
        self._shape = (1 if grey and not imagenet else 3, height, width)
        pixels = np.stack([resized(image, *self._shape) for image in images])
        seen = maps_of(pixels) if imagenet else pixels
        shape = seen.shape[1:]
        offset, scale = _centred(seen, least=LEAST_DEVIATION if imagenet else 0.0)
        return InputSpec(
            shape=shape,
            columns=(self.columns[0].name,),
            feature_mask=torch.zeros(shape, dtype=torch.int64),
            baseline=torch.zeros(shape),
            offset=offset,
            scale=scale,
        )

    def transform(self, rows: pd.DataFrame) -> Stored:
        """Return uint8 images, or maps; missing ones are zeros, and not ``present``."""
        name = self.columns[0].name
        cells = rows[name].tolist()
        if self._imagenet:
            values, present, problems = self._maps(cells)
        else:
            values, present, problems = decode(cells, self._shape)
        marked = tuple((row, name, reason) for row, reason in problems)
        return Stored(torch.from_numpy(values), torch.from_numpy(present), marked)

    def kept(self, cell: Any) -> np.ndarray | None:
        """The pixels of a cell that are looked at, an image that transforms to the same; None where there are none.

        Shape: → height width 3, or height width where all are grey.
        """
        values, present, _ = decode([cell], self._shape)
        if not present[0]:
            return None
        return values[0, 0] if len(values[0]) == 1 else np.ascontiguousarray(np.moveaxis(values[0], 0, -1))

    def state(self) -> dict[str, Any]:
        """Return the one shape."""
        return {"shape": list(self._shape)}

    @classmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Image:
        """Rebuild from the one shape.

        Raises:
            PredictorError: The package with the weights is not installed.
        """
        fitted = cls(columns, **settings)
        if fitted._imagenet:
            prepare()
        channels, height, width = state["shape"]
        fitted._shape = (channels, height, width)
        return fitted

    @classmethod
    def augment(cls, batch: Tensor, settings: Mapping[str, Tensor], noise: Noise) -> Tensor:
        """Flip, shift and cut out; a member whose settings are zero gets back what came.

        Five numbers a row are drawn whatever the settings, so that they do not change what a member draws later.
        """
        height, width = batch.shape[-2:]
        draws = noise(batch.shape[1], 5).to(batch.device).unbind(-1)  # each members batch
        down = _offsets(draws[0], settings["shift"], height)
        right = _offsets(draws[1], settings["shift"], width)
        y = (torch.arange(height, device=batch.device) - down.unsqueeze(-1)).clamp(0, height - 1)
        x = (torch.arange(width, device=batch.device) - right.unsqueeze(-1)).clamp(0, width - 1)
        x = torch.where((draws[2] < settings["flip"][:, None]).unsqueeze(-1), width - 1 - x, x)
        pixels = (y.unsqueeze(-1) * width + x.unsqueeze(-2)).flatten(2)  # members batch (height width)
        flat = batch.flatten(3)
        moved = flat.gather(3, pixels.unsqueeze(2).expand_as(flat)).view_as(batch)
        side = (settings["cutout"] * min(height, width)).round()
        tall, wide = _erased(draws[3], side, height), _erased(draws[4], side, width)
        kept = (tall.unsqueeze(-1) & wide.unsqueeze(-2)).logical_not().to(batch.dtype)
        return moved * kept.unsqueeze(2)  # a missing image is NaN and stays so

    @property
    def _imagenet(self) -> bool:
        return bool(self.settings.get("features") == "imagenet")

    def _maps(self, cells: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
        """As ``decode``, but for maps; some images at a time, as their pixels take more room."""
        parts, problems = [], []
        for start in range(0, max(1, len(cells)), ROWS_AT_ONCE):
            images, present, found = decode(cells[start : start + ROWS_AT_ONCE], self._shape)
            maps = np.zeros((len(images), *MAPS), np.uint8)
            maps[present] = maps_of(images[present])
            parts.append((maps, present))
            problems += [(start + row, reason) for row, reason in found]
        values, there = (np.concatenate(part) for part in zip(*parts, strict=True))
        return values, there, problems

    def _sample(
        self, rows: pd.DataFrame, side: int, generator: np.random.Generator
    ) -> tuple[list[Pillow.Image], list[tuple[int, int]], bool]:
        """Some training images, none larger than needed; their widths and heights; whether all are grey."""
        name = self.columns[0].name
        cells = rows[name].tolist()
        images: list[Pillow.Image] = []
        sizes: list[tuple[int, int]] = []
        grey, reason = True, "all cells are empty"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for row in generator.permutation(len(cells)):
                if len(images) == SAMPLE or is_empty(cells[row]):
                    continue
                try:
                    image = load(cells[row], side)
                except Unreadable as error:
                    reason = str(error)
                    continue
                grey = grey and is_grey(image)
                sizes.append(image.size)
                image.thumbnail((side, side))
                images.append(image)
        if not images:
            raise DataError(
                f"column '{name}' must hold a readable image among the training rows, however none of {len(cells)} is "
                f"({reason}); check the paths or drop it with --ignore {name}"
            )
        return images, sizes, grey


def _common_size(sizes: Sequence[tuple[int, int]], side: int, *, enlarge: bool) -> tuple[int, int]:
    """Height and width of the median aspect, no longer than ``side`` nor, unless enlarged, than the median image."""
    widths, heights = np.array(sizes, np.float64).T
    ratio = float(np.exp(np.median(np.log(widths / heights))))
    longest = side if enlarge else min(side, round(float(np.median(np.maximum(widths, heights)))))
    shortest = max(1, round(longest * min(ratio, 1 / ratio)))
    return (shortest, longest) if ratio >= 1 else (longest, shortest)


def _centred(seen: np.ndarray, least: float) -> tuple[Tensor, Tensor]:
    """Offset and scale that give each channel mean 0 and deviation 1, or less where it varies less than ``least``.

    Shape: rows channels height width → channels 1 1, channels 1 1.
    """
    mean = seen.mean((0, 2, 3), dtype=np.float64)
    deviation = np.maximum(seen.std((0, 2, 3), dtype=np.float64), least)
    deviation[deviation == 0] = 255
    offset, scale = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (mean, 1 / deviation))
    return offset, scale


def _offsets(draw: Tensor, share: Tensor, length: int) -> Tensor:
    """Whole pixels from -most to most, evenly likely. Shape: members batch, members → members batch."""
    most = (share * length).round().unsqueeze(-1)
    return ((draw * (2 * most + 1)).floor() - most).long()


def _erased(draw: Tensor, side: Tensor, length: int) -> Tensor:
    """Where the square is, its middle anywhere. Shape: members batch, members → members batch length."""
    start = (draw * length).floor() - (side / 2).floor().unsqueeze(-1)
    place = torch.arange(length, device=draw.device) - start.unsqueeze(-1)
    return (place >= 0) & (place < side.view(-1, 1, 1))
