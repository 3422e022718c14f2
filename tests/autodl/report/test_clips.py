from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest

from autodl.report._clips import SECONDS, at_rate, clip


def heard(address: str) -> tuple[np.ndarray, int]:
    """What a browser would play."""
    kind, data = address.split(",")
    assert kind == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(data))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, file.getframerate()


def tone(frequency: float, rate: int, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def test_a_sound_comes_back_as_it_was() -> None:
    address, seconds = clip(tone(440, 16_000, 0.5), 16_000, 10**6)
    samples, rate = heard(address)
    assert (rate, seconds) == (16_000, 0.5)
    np.testing.assert_allclose(samples, tone(440, 16_000, 0.5), atol=1e-4)


@pytest.mark.parametrize("most", [300_000, 100_000, 20_000, 60, 0])
def test_no_address_is_longer_than_allowed(most: int) -> None:
    address, seconds = clip(tone(440, 44_100, 30), 44_100, most)
    samples, rate = heard(address)
    assert len(address) <= max(most, 100)
    assert seconds == len(samples) / rate <= SECONDS
    assert rate in (8_000, 16_000)
    assert (seconds > 0) == (most > 100)


def test_a_lower_rate_keeps_low_tones_and_loses_high_ones() -> None:
    low, high = tone(440, 44_100, 1), tone(7_000, 44_100, 1)
    np.testing.assert_allclose(at_rate(low + high, 44_100, 8_000), tone(440, 8_000, 1), atol=0.02)
    assert len(at_rate(low[:1], 44_100, 8_000)) == 0


def test_odd_samples_are_played_without_noise() -> None:
    samples, _ = heard(clip(np.array([0.0, np.nan, 4.0, -2.0]), 8_000, 10**4)[0])
    np.testing.assert_allclose(samples, [0, 0, 1, -0.5], atol=1e-4)
