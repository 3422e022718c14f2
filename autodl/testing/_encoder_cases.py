"""What the suite of encoders feeds: inputs of every kind, as far as an encoder must know them, and rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autodl.records import InputSpec

POINTS = 65
SHARE_THERE = 0.7


def table_spec(numeric: int = 3, categories: Sequence[int] = (), seed: int = 0) -> InputSpec:
    """Return what a table looks like: numbers and one-hot groups in turn, as the columns of a file come.

    Args:
        numeric: Number columns; the second takes three values only, so that its quantiles repeat.
        categories: Options of each category column.
        seed: For the quantiles.
    """
    generator = torch.Generator().manual_seed(seed)
    features: list[tuple[str, str, Tensor]] = []  # name, column, quantiles
    for position in range(max(numeric, len(categories))):
        if position < numeric:
            values = torch.randn(POINTS, generator=generator).sort().values
            values = values.clamp(-1, 1).round() if position == 1 else values
            features.append((f"number_{position}", f"number_{position}", values))
        for option in range(categories[position] if position < len(categories) else 0):
            half = (torch.arange(POINTS) > POINTS // 2).float()
            features.append((f"category_{position}={option}", f"category_{position}", half))
    names, owners, quantiles = zip(*features, strict=True)
    columns = tuple(dict.fromkeys(owners))
    return InputSpec(
        shape=(len(names),),
        columns=columns,
        feature_mask=torch.tensor([columns.index(owner) for owner in owners]),
        baseline=torch.stack(quantiles).median(1).values,
        feature_names=names,
        numeric=torch.tensor([owner.startswith("number") for owner in owners]),
        quantiles=torch.stack(quantiles, dim=1),
    )


def image_spec(channels: int = 1, height: int = 28, width: int = 28) -> InputSpec:
    """Return what one image column looks like."""
    shape = (channels, height, width)
    return InputSpec(shape, ("image",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape))


def sound_spec(frequencies: int = 32, frames: int = 40) -> InputSpec:
    """Return what one sound column looks like."""
    shape = (1, frequencies, frames)
    axes = ("channel", "frequency", "time")
    return InputSpec(shape, ("sound",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape), axes=axes)


def text_spec(tokens: int = 12, vocabulary: int = 0, entries: int = 1) -> InputSpec:
    """Return what one text column looks like.

    Args:
        tokens: Length of a row.
        vocabulary: Number of ids; 0 where tokens come as vectors.
        entries: Entries of a token: 1 for ids.
    """
    shape = (tokens, entries)
    spec = InputSpec(shape, ("text",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape), vocabulary=vocabulary)
    if not vocabulary:
        return spec
    known = torch.randn(vocabulary, 4, generator=torch.Generator().manual_seed(0))
    known[:2] = 0
    return replace(spec, summary=known)


def rows(spec: InputSpec, count: int, seed: int = 0) -> Tensor:
    """Return rows such as an encoder of this input sees in training; of texts, tokens that are not there lie anywhere.

    Shape:
        → count *shape
    """
    generator = torch.Generator().manual_seed(seed)
    if spec.axes[0] == "token":
        there = torch.rand(count, spec.shape[0], 1, generator=generator) < SHARE_THERE
        if spec.vocabulary:
            return torch.randint(1, spec.vocabulary, (count, *spec.shape), generator=generator) * there.float()
        return torch.randn(count, *spec.shape, generator=generator) * there
    if spec.quantiles is None:
        return torch.randn(count, *spec.shape, generator=generator)
    return spec.quantiles.gather(0, torch.randint(len(spec.quantiles), (count, *spec.shape), generator=generator))
