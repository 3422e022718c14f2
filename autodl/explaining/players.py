"""Who takes part: columns, image segments, or whole inputs as players."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from autodl.attribution import Players
from autodl.errors import ExplanationError
from autodl.records import InputSpec

SEGMENTS = 24
"""Segments that an image is divided into: few enough to be told apart, and to be estimated well."""
COMPACTNESS = 0.5
"""Deviations of colour that weigh as much as the distance between two patches when an image is divided."""
SMALLEST_SEGMENT = 4  # pixels
OTHERS = "all other columns"
"""What players are called together that are not told apart."""


def column_players(specs: Mapping[str, InputSpec], order: Sequence[str] = ()) -> Players:
    """Every column is one player, in whatever views it stands: all features of a category together, a whole image.

    Args:
        specs: What each view looks like.
        order: The columns in the table's order; those that it does not name follow.
    """
    found = list(dict.fromkeys([*order, *(column for key in sorted(specs) for column in specs[key].columns)]))
    there = {column for spec in specs.values() for column in spec.columns}
    names = [column for column in found if column in there]
    place = {column: position for position, column in enumerate(names)}
    index = {
        key: torch.tensor([place[column] for column in spec.columns])[spec.feature_mask] for key, spec in specs.items()
    }
    return Players(tuple(names), index)


def input_players(specs: Mapping[str, InputSpec], inputs: Mapping[str, str]) -> Players:
    """Every input is one player: the table, each image.

    Args:
        specs: What each view looks like.
        inputs: View → the input that it is a view of.
    """
    names = tuple(sorted(set(inputs.values())))
    return Players(names, {key: torch.full(spec.shape, names.index(inputs[key])) for key, spec in specs.items()})


def segment_players(
    specs: Mapping[str, InputSpec], inputs: Mapping[str, Tensor], order: Sequence[str] = (), count: int = SEGMENTS
) -> Players:
    """Columns as players, but for images, of which each is divided into segments of its own.

    A segment is a patch of like colour; a row whose image is missing has one segment, which is the whole of it. All
    views of one image share their segments, whatever their size.

    Args:
        specs: What each view looks like.
        inputs: The rows, by view.
        order: The columns in the table's order.
        count: Segments an image.

    Raises:
        ExplanationError: There is no image to divide.
    """
    pictures = [key for key in sorted(specs) if len(specs[key].shape) == 3]
    if not pictures:
        raise ExplanationError("segments must be those of an image, however there is no image column; take columns")
    whole = column_players(specs, order)
    columns = [name for name in whole.names if not any(name in specs[key].columns for key in pictures)]
    names, first = list(columns), dict[str, int]()
    divided: dict[str, Tensor] = {}
    for key in pictures:
        (column,) = specs[key].columns
        if column not in divided:
            divided[column] = torch.stack([_segments(image, count) for image in inputs[key]])
            first[column] = len(names)
            names += [f"{column} segment {number + 1}" for number in range(int(divided[column].max()) + 1)]
    rows = len(next(iter(inputs.values())))
    index = {}
    for key, spec in specs.items():
        if key in pictures:
            (column,) = spec.columns
            index[key] = (_resized(divided[column], spec.shape[1:]) + first[column])[:, None].expand(rows, *spec.shape)
        else:
            place = torch.tensor([columns.index(column) for column in spec.columns])
            index[key] = place[spec.feature_mask].expand(rows, *spec.shape)
    return Players(tuple(names), index, own=True)


def lumped(players: Players, names: Sequence[str]) -> Players:
    """The named players, in their order; all others are one, called ``OTHERS``."""
    kept = [name for name in players.names if name in names]
    place = torch.tensor([kept.index(name) if name in kept else len(kept) for name in players.names])
    several = len(kept) < len(players)
    index = {key: place[each] for key, each in players.index.items()}
    return Players((*kept, *([OTHERS] if several else [])), index, players.own)


def _segments(image: Tensor, count: int) -> Tensor:
    """Superpixels: k-means of colour and place from a regular grid. Shape: channels height width → height width.

    Reference:
        Achanta et al.: SLIC Superpixels Compared to State-of-the-Art Superpixel Methods, IEEE TPAMI 34 (2012).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    _, height, width = image.shape
    if bool(image.isnan().any()):
        return torch.zeros(height, width, dtype=torch.int64)
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


def _resized(segments: Tensor, sides: Sequence[int]) -> Tensor:
    """The same division of an image of another size, by the nearest pixel. Shape: rows h w → rows *sides."""
    down = (torch.arange(sides[0]) + 0.5) * segments.shape[1] / sides[0]
    across = (torch.arange(sides[1]) + 0.5) * segments.shape[2] / sides[1]
    return segments[:, down.long()][:, :, across.long()]
