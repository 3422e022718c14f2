from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.modalities._mel import LogMel

RATE, HOP = 8000, 80


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)


def tone(frequency: float, seconds: float = 0.4, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


def textbook(wave: np.ndarray, rate: int, mels: int, hop: int, size: int) -> np.ndarray:
    """One frame, one band and one frequency at a time."""
    window = max(round(0.025 * rate), 2 * hop)
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * n / window) for n in range(window)]
    points = 700 * (10 ** (np.linspace(0, mel(rate / 2), mels + 2) / 2595) - 1)
    wave = wave.astype(np.float64) - wave.astype(np.float64).mean()
    frames = -(-len(wave) // hop)
    power = np.zeros((mels, frames))
    for frame in range(frames):
        first = frame * hop - (size - hop) // 2 + (size - window) // 2
        samples = [wave[first + n] if 0 <= first + n < len(wave) else 0.0 for n in range(window)]
        spectrum = np.abs(np.fft.rfft(np.array(samples) * hann, size)) ** 2
        for band in range(mels):
            low, middle, high = points[band : band + 3]
            for place, value in enumerate(spectrum):
                frequency = place * rate / size
                weight = min((frequency - low) / (middle - low), (high - frequency) / (high - middle))
                power[band, frame] += max(weight, 0) * value
    decibels = 10 * np.log10(np.maximum(power, 1e-30) / power.max())
    return np.asarray(np.clip(255 * (1 + decibels / 80), 0, 255))


@pytest.mark.parametrize(("count", "hop"), [(1600, 80), (1599, 80), (130, 80), (1600, 160)])
def test_is_the_textbooks(count: int, hop: int) -> None:
    wave = noise(count) + 0.3
    found = LogMel(RATE, 24, hop, 200)(wave)
    np.testing.assert_allclose(found, textbook(wave, RATE, 24, hop, 512 if hop > 100 else 256), atol=0.51)


@pytest.mark.parametrize("frequency", [100, 440, 1000, 3000])
def test_a_tone_stands_in_the_band_of_its_frequency(frequency: int) -> None:
    found = LogMel(RATE, 48, HOP, 100)(tone(frequency))
    middle = found[:, 10:30].astype(float).mean(1)
    expected = mel(frequency) / mel(RATE / 2) * 49 - 1
    assert abs(int(middle.argmax()) - expected) <= 1
    assert middle.max() > 240
    assert np.median(middle) < 100


def test_a_click_stands_in_the_frame_of_its_time() -> None:
    """Frame i is the samples from i hop to (i + 1) hop."""
    for frame in (0, 7, 19):
        wave = np.zeros(1600, np.float32)
        wave[frame * HOP + HOP // 2] = 1
        assert int(LogMel(RATE, 32, HOP, 100)(wave).astype(int).sum(0).argmax()) == frame


@given(gain=st.floats(1e-6, 1e6), level=st.floats(-10, 10))
@settings(deadline=None, max_examples=30)
def test_loudness_and_level_do_not_matter(gain: float, level: float) -> None:
    spectrogram = LogMel(RATE, 24, HOP, 100)
    wave = noise(800).astype(np.float64)
    expected = spectrogram(wave).astype(int)
    found = spectrogram(gain * (wave + level)).astype(int)
    assert abs(found - expected).max() <= 1


def test_the_loudest_cell_is_255_and_80_decibels_below_it_is_silence() -> None:
    wave = np.concatenate([tone(1000), 1e-2 * tone(1000), 1e-5 * tone(1000)])
    found = LogMel(RATE, 24, HOP, 200)(wave)
    band = int(found[:, 20].argmax())
    assert found.max() == 255
    assert found[band, 20] == pytest.approx(255, abs=2)
    assert found[band, 60] == pytest.approx(255 / 2, abs=2)
    assert found[band, 100] == 0


@pytest.mark.parametrize("wave", [np.zeros(500), np.full(500, 0.3), np.zeros(1), np.ones(1)])
def test_silence_is_zero(wave: np.ndarray) -> None:
    found = LogMel(RATE, 24, HOP, 100)(wave.astype(np.float32))
    assert found.shape == (24, -(-len(wave) // HOP))
    assert not found.any()


def test_samples_beyond_the_last_frame_are_left_out() -> None:
    spectrogram = LogMel(RATE, 24, HOP, 5)
    assert np.array_equal(spectrogram(noise(9000)), spectrogram(noise(9000)[: 5 * HOP]))


@given(rate=st.integers(100, 16_000), mels=st.integers(8, 256), hop=st.integers(1, 3000), count=st.integers(1, 20_000))
@settings(deadline=None, max_examples=40)
def test_any_rate_and_any_number_of_bands_work(rate: int, mels: int, hop: int, count: int) -> None:
    """No band is without a frequency: noise is heard in all of them."""
    found = LogMel(rate, mels, hop, 30)(noise(count))
    assert found.shape == (mels, min(30, -(-count // hop)))
    if count >= 4 * hop and count >= rate:
        assert found.any(1).all()
