"""Sounds divided into bands of time, and these into bands of frequencies."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodl.records import InputSpec

BANDS = 16
"""Bands of time that a sound is divided into."""
HEIGHTS = {1: ("",), 2: (" low", " high"), 3: (" low", " middle", " high")}


def divided(
    specs: Mapping[str, InputSpec], inputs: Mapping[str, Tensor], views: Mapping[str, object], frequencies: int = 1
) -> tuple[dict[str, Tensor], list[str]]:
    """The band of every place, counted from 0, in all views of one sound, and what bands are called.

    Bands are as long as each other, and the same in all rows; those of a missing sound are the first. What stands
    behind the end of a sound belongs to its last band.

    Args:
        specs: What each view looks like.
        inputs: The rows, by view.
        views: Those that tell their ``seconds_per_frame`` have bands at the same seconds; else at the same shares.
        frequencies: Bands of frequencies, as many spectrogram lines in each: 1, 2 or 3.

    Shape:
        → {view: rows *shape}
    """
    each = {key: float(getattr(views.get(key), "seconds_per_frame", 0.0)) for key in specs}
    timed = all(each.values())
    ends = {key: spec.shape[-1] * each[key] if timed else 1.0 for key, spec in specs.items()}
    length, count = max(ends.values()), min(BANDS, *(spec.shape[-1] for spec in specs.values()))
    found = {}
    for key, spec in sorted(specs.items()):
        lines, frames = spec.shape[-2:]
        middle = (torch.arange(frames) + 0.5) * (ends[key] / frames)
        band = (middle * (count / length)).long().clamp_max(count - 1) * frequencies
        height = torch.arange(lines) * frequencies // lines
        place = torch.arange(frames).minimum(_last(inputs[key], spec)[:, None])  # rows frames
        index = (band[place][:, None, None] + height[:, None]).expand(len(inputs[key]), *spec.shape)
        gone = inputs[key].flatten(1).isnan().any(1).cpu()
        found[key] = index.masked_fill(gone.view(-1, *[1] * len(spec.shape)), 0)
    names = [
        f"{_called(band, count, length, timed=timed)}{height}"
        for band in range(count)
        for height in HEIGHTS[frequencies]
    ]
    return found, names


def _last(x: Tensor, spec: InputSpec) -> Tensor:
    """The last frame of each row that is not as nothing known; the last of all where there is none. Shape: → rows."""
    heard = (x.cpu() != spec.baseline).flatten(1, 2).any(1)
    frames = heard.shape[1]
    last = frames - 1 - heard.flip(1).int().argmax(1)
    return torch.where(heard.any(1), last, frames - 1)


def _called(band: int, count: int, length: float, *, timed: bool) -> str:
    """``0.2–0.3 s``, or ``band 3`` where no seconds are known."""
    if not timed:
        return f"band {band + 1}"
    digits = 1 if length / count >= 0.1 else 2  # seconds apart
    return f"{band * length / count:.{digits}f}–{(band + 1) * length / count:.{digits}f} s"
