"""Sounds from files or arrays, any rate and length, as log-mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autodl.contracts import Modality, Noise
from autodl.errors import DataError
from autodl.modalities._decoding import Unreadable, for_each, is_empty
from autodl.modalities._mel import LogMel
from autodl.modalities._sound import ARRAY_RATE, Wave, load, resampled
from autodl.records import Column, InputSpec, Schema, Stored, Task
from autodl.space import Choice, Float, Space

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 256  # training clips that rate, length, mean and deviation are taken from
MOST_RATE = (
    16_000  # samples a second; more would tell of frequencies above 8 kHz, where neither speech nor music has much
)
HOP = 0.01  # seconds from frame to frame
FEWEST_FRAMES, MOST_FRAMES = 8, 160
LENGTH = 0.95  # share of the training clips that are looked at whole
LEAST_DEVIATION = 8.0  # 2.5 dB: a frequency that is nearly always silent is not blown up


class Audio(Modality):
    """One sound column, as an input of its name; kept as uint8.

    A cell is an absolute path, or an array of one axis, float or int16, with 16,000 samples a second. Channels are
    averaged. Every sound is brought to one rate, the median of the training clips or 16 kHz where that is less, and to
    one length, that of the 95th percentile of the training clips or ``seconds`` where that is less. Of a longer sound
    the beginning counts, so that no file is read further than needed. Frames are 10 ms apart, or farther where there
    would be more than 160. An encoder sees decibels less their training mean and divided by their training deviation at
    each frequency; after a shorter sound it sees the mean, which is 0, and not silence, beside which all else would
    look alike. Rate, length, mean and deviation come from at most 256 training clips drawn by chance. A sound that is
    damaged, absent, of an unknown format, or that holds no samples or ones that are no numbers, is a missing cell and a
    problem.

    Augmentation, in this order: shift (what leaves at one end comes in at the other), masks (0, the mean). Loudness is
    not changed, as it is not seen.

    Reference:
        Masks: Park et al.: SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition,
        arXiv 1904.08779, section 2, with one mask on each axis.
    """

    space: ClassVar[Space] = Space(
        mels=Choice(48, limits=(8, 256), doc="bands of frequencies in a spectrogram"),
        seconds=Choice(10.0, limits=(0.1, 600.0), doc="how much of a long sound is looked at, in seconds"),
        time_mask=Float(
            0.0,
            0.3,
            limits=(0.0, 1.0),
            default=0.0,
            per_member=True,
            doc="widest span of time that is masked in a training sound, as a share of its length",
        ),
        frequency_mask=Float(
            0.0,
            0.3,
            limits=(0.0, 1.0),
            default=0.0,
            per_member=True,
            doc="widest span of bands that is masked in a training sound, as a share of all",
        ),
        shift=Float(
            0.0,
            0.2,
            limits=(0.0, 0.5),
            default=0.0,
            per_member=True,
            doc="farthest a training sound is moved in time, as a share of its length",
        ),
    )

    _rate: int
    _hop: int
    _frames: int
    _mean: np.ndarray

    @classmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        """Every sound column is an input of its own."""
        return {column.name: [column.name] for column in schema.of_kind("audio")}

    @property
    def seconds_per_frame(self) -> float:
        """How far frames lie apart: frame ``i`` is about the seconds from ``i`` to ``i + 1`` times that."""
        return self._hop / self._rate

    @property
    def window(self) -> float:
        """Seconds of a sound that are looked at, from its beginning."""
        return self._frames * self.seconds_per_frame

    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        """Look at some training clips.

        Raises:
            DataError: None of them can be read.
        """
        cells, rates, lengths = self._sample(rows, np.random.default_rng(seed))
        self._rate = min(MOST_RATE, sorted(rates)[len(rates) // 2])
        seconds = float(np.percentile(lengths, 100 * LENGTH))
        self._hop = max(1, round(max(HOP, seconds / MOST_FRAMES) * self._rate))
        self._frames = int(np.clip(math.ceil(seconds * self._rate / self._hop), FEWEST_FRAMES, MOST_FRAMES))
        found: dict[int, np.ndarray] = {}
        self._spectrograms(cells, found.__setitem__)
        frames = np.concatenate([found[row] for row in sorted(found)], axis=1)
        mean, deviation = frames.mean(1, dtype=np.float64), frames.std(1, dtype=np.float64)
        self._mean = np.round(mean).astype(np.uint8)
        shape = (1, self.settings["mels"], self._frames)
        return InputSpec(
            shape=shape,
            columns=(self.columns[0].name,),
            feature_mask=torch.zeros(shape, dtype=torch.int64),
            baseline=torch.zeros(shape),
            offset=torch.tensor(mean, dtype=torch.float32)[None, :, None],
            scale=torch.tensor(1 / np.maximum(deviation, LEAST_DEVIATION), dtype=torch.float32)[None, :, None],
            axes=("channel", "frequency", "time"),
        )

    def transform(self, rows: pd.DataFrame) -> Stored:
        """Return uint8 spectrograms; missing ones are zeros, and not ``present``."""
        name = self.columns[0].name
        cells = rows[name].tolist()
        values = np.zeros((len(cells), 1, self.settings["mels"], self._frames), np.uint8)
        present = np.zeros(len(cells), bool)

        def put(row: int, spectrogram: np.ndarray) -> None:
            values[row, 0] = self._mean[:, None]
            values[row, 0, :, : spectrogram.shape[1]] = spectrogram
            present[row] = True

        problems = self._spectrograms(cells, put)
        marked = tuple((row, name, reason) for row, reason in problems)
        return Stored(torch.from_numpy(values), torch.from_numpy(present), marked)

    def waveform(self, cell: Any) -> Wave | None:
        """What is looked at of a sound, as float32 samples from -1 to 1, and how many of them make a second.

        None where the cell is missing or cannot be used.
        """
        if is_empty(cell):
            return None
        try:
            return resampled(load(cell, self.window), self._rate), self._rate
        except Unreadable:
            return None

    def kept(self, cell: Any) -> np.ndarray | None:
        """The same as a cell that needs no file: int16, as long as the sound is."""
        wave = self.waveform(cell)
        if wave is None:
            return None
        samples = resampled(wave, ARRAY_RATE)
        loudest = max(float(np.abs(samples).max()), 1e-9)
        return np.asarray(np.round(samples * (32767 / loudest)), np.int16)

    def state(self) -> dict[str, Any]:
        """Return rate, hop, frames and the mean of each frequency."""
        return {"rate": self._rate, "hop": self._hop, "frames": self._frames, "mean": self._mean}

    @classmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Audio:
        """Rebuild from rate, hop, frames and mean."""
        fitted = cls(columns, **settings)
        fitted._rate, fitted._hop, fitted._frames = state["rate"], state["hop"], state["frames"]
        fitted._mean = np.asarray(state["mean"], np.uint8)
        return fitted

    @classmethod
    def augment(cls, batch: Tensor, settings: Mapping[str, Tensor], noise: Noise) -> Tensor:
        """Shift and mask; a member whose settings are zero gets back what came.

        Five numbers a row are drawn whatever the settings, so that they do not change what a member draws later.
        """
        mels, frames = batch.shape[-2:]
        draws = noise(batch.shape[1], 5).to(batch.device).unbind(-1)  # each members batch
        most = (settings["shift"] * frames).round().unsqueeze(-1)
        moved = ((draws[0] * (2 * most + 1)).floor() - most).long()
        time = (torch.arange(frames, device=batch.device) - moved.unsqueeze(-1)) % frames  # members batch frames
        shifted = batch.gather(4, time[:, :, None, None].expand_as(batch))
        early = _masked(draws[1], draws[2], settings["time_mask"], frames)
        low = _masked(draws[3], draws[4], settings["frequency_mask"], mels)
        kept = (early.unsqueeze(-2) | low.unsqueeze(-1)).logical_not().to(batch.dtype)
        return shifted * kept.unsqueeze(2)  # a missing sound is NaN and stays so

    def _spectrograms(self, cells: Sequence[Any], put: Callable[[int, np.ndarray], None]) -> list[tuple[int, str]]:
        """Hand over each cell's row and spectrogram; return the rows that cannot be used, each with its reason."""
        log_mel = LogMel(self._rate, self.settings["mels"], self._hop, self._frames)
        return for_each(cells, lambda row: put(row, log_mel(resampled(load(cells[row], self.window), self._rate))))

    def _sample(self, rows: pd.DataFrame, generator: np.random.Generator) -> tuple[list[Any], list[int], list[float]]:
        """Some training cells, and the rates and lengths in seconds of those that can be read."""
        name = self.columns[0].name
        cells = rows[name].tolist()
        filled = [cells[row] for row in generator.permutation(len(cells)) if not is_empty(cells[row])]
        reason = "all cells are empty"
        for start in range(0, len(filled), SAMPLE):
            chosen = filled[start : start + SAMPLE]
            rates, lengths, problems = self._measured(chosen)
            if rates:
                return chosen, rates, lengths
            reason = problems[0][1]
        raise DataError(
            f"column '{name}' must hold a readable sound among the training rows, however none of {len(cells)} is "
            f"({reason}); check the paths or drop it with --ignore {name}"
        )

    def _measured(self, cells: Sequence[Any]) -> tuple[list[int], list[float], list[tuple[int, str]]]:
        """Rate and length of each sound that can be read, ``seconds`` at most, and the rows that cannot."""
        rates, lengths = [0] * len(cells), [0.0] * len(cells)

        def measure(row: int) -> None:
            samples, rates[row] = load(cells[row], self.settings["seconds"])
            lengths[row] = len(samples) / rates[row]

        problems = for_each(cells, measure)
        return [rate for rate in rates if rate], [length for length in lengths if length], problems


def _masked(width: Tensor, place: Tensor, share: Tensor, length: int) -> Tensor:
    """Which entries are masked: from none to so great a share, evenly likely, anywhere.

    Shape: members batch, members batch, members → members batch length.
    """
    span = (width * ((share * length).round().unsqueeze(-1) + 1)).floor()
    start = (place * (length - span + 1)).floor().unsqueeze(-1)
    entries = torch.arange(length, device=width.device)
    return (entries >= start) & (entries < start + span.unsqueeze(-1))
