"""Samples → the log-mel spectrogram of one clip, by torch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

DECIBELS = 80.0
"""What lies so far below the loudest cell of a clip, or farther, is silence."""
STEPS = 255
WINDOW = 0.025  # seconds that a spectrum is taken of, unless frames lie farther apart
SILENT = 1e-6  # a wave that swings less than this share of its level is a constant


class LogMel:
    """Power spectra of overlapping windows, summed in bands that widen as the ear's do, in decibels, as uint8.

    0 is 80 decibels below the loudest cell of the clip, or less; 255 is the loudest cell. So it does not matter how
    loud a clip was recorded. A silent clip is all 0.

    The bands are triangles that overlap by half, evenly spaced from 0 to half the rate on the scale
    m = 2595 log10(1 + f / 700). Frame ``i`` looks at a Hann window around the middle of samples ``i hop`` to
    ``(i + 1) hop``; what lies outside the clip is silence.

    Args:
        rate: Samples a second.
        mels: Bands.
        hop: Samples from frame to frame.
        frames: Most frames.

    Shape:
        samples → mels frames, as many as the samples reach into

    Reference:
        Davis, Mermelstein: Comparison of Parametric Representations for Monosyllabic Word Recognition in Continuously
        Spoken Sentences, IEEE Trans. ASSP 28 (1980), for the triangles. O'Shaughnessy: Speech Communication: Human and
        Machine (1987), p. 150, for the scale.
    """

    def __init__(self, rate: int, mels: int, hop: int, frames: int) -> None:
        self.hop, self.frames = hop, frames
        window = max(round(WINDOW * rate), 2 * hop)
        edges = _frequencies(torch.linspace(0, _mel(rate / 2), mels + 2, dtype=torch.float64))
        narrowest = float(edges[1] - edges[0])
        self._size = 2 ** math.ceil(math.log2(max(window, rate / narrowest)))  # each triangle holds a frequency
        self._window = torch.hann_window(window)
        self._bands = _triangles(edges, self._size, rate).to(torch.float32)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the spectrogram; samples beyond the last frame are left out."""
        wave = torch.from_numpy(samples[: self.frames * self.hop]).to(torch.float64)
        frames = math.ceil(len(wave) / self.hop)
        level = float(wave.abs().max())
        wave = wave - wave.mean()
        loudest = float(wave.abs().max())
        if loudest <= SILENT * level:
            return np.zeros((len(self._bands), frames), np.uint8)
        before = (self._size - self.hop) // 2
        whole = torch.zeros(frames * self.hop + self._size - self.hop)
        whole[before : before + len(wave)] = wave / loudest
        spectra = torch.stft(
            whole, self._size, self.hop, len(self._window), self._window, center=False, return_complex=True
        )
        power = self._bands @ (spectra.real.square() + spectra.imag.square())
        decibels = 10 * (power / power.max()).clamp(min=1e-12).log10()
        return (decibels / DECIBELS + 1).clamp(min=0).mul(STEPS).round().to(torch.uint8).numpy()


def _mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


def _frequencies(mels: Tensor) -> Tensor:
    return 700 * (10 ** (mels / 2595) - 1)


def _triangles(edges: Tensor, size: int, rate: int) -> Tensor:
    """How much of each frequency a band takes. Shape: bands+2 → bands frequencies."""
    frequencies = torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size
    low, middle, high = (edges[start : len(edges) - 2 + start].unsqueeze(1) for start in range(3))
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0)
