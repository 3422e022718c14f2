"""A sound as text that a page can hold: WAV, 16 bits, one channel, no larger than allowed."""

from __future__ import annotations

import base64
import io
import wave
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

RATES = (16_000, 8_000)
"""Samples a second at most: first a clip loses what lies above 4 kHz, then its end."""
SECONDS = 10.0
HEADER = 44  # bytes of a WAV file before its samples


def clip(samples: Array, rate: int, most_bytes: int) -> tuple[str, float]:
    """A ``data:`` address and how many seconds it holds.

    Args:
        samples: From -1 to 1; what lies beyond is made quieter as a whole.
        rate: Samples a second.
        most_bytes: Length of the address at most.
    """
    sound = np.nan_to_num(np.asarray(samples, np.float64))[: round(SECONDS * rate)]
    room = max(0, (most_bytes - 32) * 3 // 4 - HEADER) // 2  # samples
    for most in RATES:
        if rate > most and (most == RATES[0] or len(sound) > room):
            sound, rate = at_rate(sound, rate, most), most
    sound = sound[:room]
    loud = max(1.0, float(np.abs(sound).max(initial=0.0)))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(np.round(sound / loud * 32767).astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}", len(sound) / rate


def at_rate(samples: Array, rate: int, lower: int) -> Array:
    """The same sound at a lower rate, without the frequencies that it has no room for."""
    count = round(len(samples) * lower / rate)
    if not count:
        return samples[:0]
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.fft.irfft(spectrum, count) * (count / len(samples))
