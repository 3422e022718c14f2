"""Sound cells → one channel of samples; whatever cannot be read becomes a reason, never an error."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile

from autodl.modalities._decoding import Unreadable

Wave: TypeAlias = tuple[np.ndarray, int]
"""Samples of one channel, float32, and how many of them make a second."""

ARRAY_RATE = 16_000
"""Samples a second of a cell that is an array."""

FORMATS = "WAV, FLAC, OGG, MP3, AIFF, AU or CAF"
_MARKS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"dns.", b"caff")
_SYNC = (0xFF, 0xE0)  # an MP3 without a tag begins with eleven bits that are 1

MEGABYTES = 2_000  # of a larger file even the length is not asked for: some formats tell it only when read through
MOST_HOURS = 24
MOST_CHANNELS = 32
LEAST_RATE, MOST_RATE = 100, 768_000
BLOCK = 2**20  # samples of all channels that are read at once
MOST_PARTS = 1_000  # denominator of the ratio of two rates, beyond which filters grow long; off by 1 in 10**6


def load(cell: Any, seconds: float) -> Wave:
    """Return the beginning of a sound, at most so many seconds of it, its channels' mean.

    No more of a file is read than asked for. What a file says of its length counts only where it is beyond all
    measure, since what is written while it is recorded often says nothing of use.

    Raises:
        Unreadable: Nothing that can be used came.
    """
    if isinstance(cell, np.ndarray):
        return _checked(_from_array(cell)[: math.ceil(seconds * ARRAY_RATE)]), ARRAY_RATE
    if not isinstance(cell, str):
        raise Unreadable(f"must be a path or an array, however {type(cell).__name__} came")
    try:
        if not Path(cell).is_file():
            raise Unreadable("not a regular file" if Path(cell).exists() else "no such file")
        _check_file(Path(cell))
        with soundfile.SoundFile(cell) as sound:
            _check_header(sound)
            return _checked(_beginning(sound, math.ceil(seconds * sound.samplerate))), sound.samplerate
    except Unreadable:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of every kind
        why = getattr(error, "strerror", None) or getattr(error, "error_string", None) or type(error).__name__
        raise Unreadable(f"cannot be read: {why[:80]}") from None


def resampled(wave: Wave, rate: int) -> np.ndarray:
    """The samples at another rate, what lies beyond its half filtered off."""
    samples, own = wave
    if own == rate:
        return samples
    from scipy.signal import resample_poly

    ratio = Fraction(rate, own).limit_denominator(MOST_PARTS)
    if not ratio:
        ratio = Fraction(1, own // rate)
    found: np.ndarray = resample_poly(samples, ratio.numerator, ratio.denominator)
    return found.astype(np.float32, copy=False)


def _check_file(path: Path) -> None:
    """Look at the size and the first bytes: libsndfile would try formats on anything, and know some by their suffix."""
    size = path.stat().st_size
    if not size:
        raise Unreadable("holds no bytes")
    if size > MEGABYTES * 1_000_000:
        raise Unreadable(f"larger than {MEGABYTES:,} megabytes")
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith(_MARKS) and not (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0):
        raise Unreadable(f"not a sound of the formats {FORMATS}")


def _check_header(sound: soundfile.SoundFile) -> None:
    if not LEAST_RATE <= sound.samplerate <= MOST_RATE:
        raise Unreadable(
            f"has {sound.samplerate:,} samples a second, which is not within {LEAST_RATE} and {MOST_RATE:,}"
        )
    if not 1 <= sound.channels <= MOST_CHANNELS:
        raise Unreadable(f"has {sound.channels} channels, which is more than {MOST_CHANNELS}")
    if sound.frames > MOST_HOURS * 3600 * sound.samplerate:
        raise Unreadable(f"longer than {MOST_HOURS} hours")


def _beginning(sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """The channels' mean of the first samples; fewer where there are no more."""
    size = max(1, BLOCK // sound.channels)
    parts = []
    while count > 0:
        block = sound.read(min(size, count), dtype="float64", always_2d=True)
        parts.append(block.mean(axis=1))
        count -= size
        if len(block) < size:
            break
    return np.concatenate(parts) if parts else np.zeros(0)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or not (array.dtype.kind == "f" or array.dtype == np.int16):
        shape = " × ".join(map(str, array.shape))
        raise Unreadable(f"an array must be float or int16 and have one axis, however {array.dtype} {shape} came")
    return array / 32768 if array.dtype == np.int16 else array


def _checked(samples: np.ndarray) -> np.ndarray:
    """The samples as float32, the loudest at most 1."""
    if not samples.size:
        raise Unreadable("holds no samples")
    if not np.isfinite(samples).all():
        raise Unreadable("holds samples that are infinite or no numbers")
    loudest = float(np.abs(samples).max())
    return (samples / max(loudest, 1.0)).astype(np.float32)
