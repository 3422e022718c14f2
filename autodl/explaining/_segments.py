"""Images divided into patches of like colour, whatever the size of each view of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from autodl.records import InputSpec

COMPACTNESS = 0.5
"""Deviations of colour that weigh as much as the distance between two patches when an image is divided."""
SMALLEST_SEGMENT = 4  # pixels
MOST_COLOURS = 4
"""Channels of pixels; more are features that a network made of an image, of which every place is a segment."""


def divided(specs: Mapping[str, InputSpec], inputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The segment of every place, counted from 0, in all views of one image; those of a missing one are 0.

    Segments are told by the view with the most pixels; in the others a place is of the segment in its middle.

    Args:
        specs: What each view looks like.
        inputs: The rows, by view.
        count: Segments an image.

    Shape:
        → {view: rows *shape}
    """
    pixels = [key for key in sorted(specs) if specs[key].shape[0] <= MOST_COLOURS] or sorted(specs)
    finest = max(pixels, key=lambda key: math.prod(specs[key].shape[1:]))
    found = torch.stack([_segments(image, count) for image in inputs[finest]])
    rows = len(found)
    return {
        key: _resized(found, spec.shape[1:])[:, None].expand(rows, *spec.shape) for key, spec in sorted(specs.items())
    }


def _segments(image: Tensor, count: int) -> Tensor:
    """Superpixels: k-means of colour and place from a regular grid. Shape: channels height width → height width.

    Reference:
        Achanta et al.: SLIC Superpixels Compared to State-of-the-Art Superpixel Methods, IEEE TPAMI 34 (2012).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    channels, height, width = image.shape
    if bool(image.isnan().any()):
        return torch.zeros(height, width, dtype=torch.int64)
    if channels > MOST_COLOURS:
        return _grid(height, width, count)
    count = max(1, min(count, height * width // SMALLEST_SEGMENT))
    across = max(1, round((count * width / height) ** 0.5))
    down = max(1, round(count / across))
    y, x = np.mgrid[:height, :width]
    colour = image.double().cpu().numpy().reshape(len(image), -1).T
    spread = colour.std() or 1.0
    step = (height * width / (down * across)) ** 0.5
    place = np.stack([y.ravel(), x.ravel()], axis=1) / step
    points = np.concatenate([colour / spread, place * COMPACTNESS], axis=1)
    rows = ((np.arange(down) + 0.5) * height / down).astype(int)
    columns = ((np.arange(across) + 0.5) * width / across).astype(int)
    centres = points.reshape(height, width, -1)[np.ix_(rows, columns)].reshape(down * across, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an image of one colour has fewer patches
        labels = KMeans(down * across, init=centres, n_init=1, max_iter=10).fit_predict(points)
    _, dense = np.unique(labels, return_inverse=True)
    return torch.from_numpy(dense.reshape(height, width).astype(np.int64))


def _grid(height: int, width: int, count: int) -> Tensor:
    """Places one by one, or squares of them where they are many. Shape: → height width."""
    side = max(1, math.ceil((height * width / count) ** 0.5))
    across = -(-width // side)
    down, right = torch.arange(height) // side, torch.arange(width) // side
    found: Tensor = down[:, None] * across + right
    return found


def _resized(segments: Tensor, sides: Sequence[int]) -> Tensor:
    """The same division of an image of another size, by the nearest pixel. Shape: rows h w → rows *sides."""
    down = (torch.arange(sides[0]) + 0.5) * segments.shape[1] / sides[0]
    across = (torch.arange(sides[1]) + 0.5) * segments.shape[2] / sides[1]
    return segments[:, down.long()][:, :, across.long()]
