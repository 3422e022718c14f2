from __future__ import annotations

from types import SimpleNamespace

import torch

from autodl.explaining._bands import BANDS, divided
from autodl.records import InputSpec

AXES = ("channel", "frequency", "time")


def spec(lines: int, frames: int) -> InputSpec:
    shape = (1, lines, frames)
    return InputSpec(shape, ("clip",), torch.zeros(shape).long(), torch.zeros(shape), axes=AXES)


def test_bands_are_as_long_as_each_other_and_called_by_their_seconds() -> None:
    found, names = divided(
        {"a": spec(2, 160)}, {"a": torch.zeros(3, 1, 2, 160)}, {"a": SimpleNamespace(seconds_per_frame=0.01)}
    )
    assert len(names) == BANDS
    assert names[:3] == ["0.0–0.1 s", "0.1–0.2 s", "0.2–0.3 s"]
    assert found["a"].shape == (3, 1, 2, 160)
    assert found["a"][0, 0, 0].bincount().tolist() == [10] * BANDS
    assert (found["a"][0] == found["a"][2]).all()


def test_views_have_bands_at_the_same_seconds() -> None:
    views = {"a": SimpleNamespace(seconds_per_frame=0.01), "b": SimpleNamespace(seconds_per_frame=0.02)}
    inputs = {"a": torch.zeros(1, 1, 1, 80), "b": torch.zeros(1, 1, 1, 20)}
    found, names = divided({"a": spec(1, 80), "b": spec(1, 20)}, inputs, views)
    assert names[0] == "0.00–0.05 s"
    first, second = found["a"][0, 0, 0], found["b"][0, 0, 0]
    assert int(first.max()) == BANDS - 1
    assert int(second.max()) == BANDS // 2 - 1  # it hears half of the time
    assert second[10] == first[20]


def test_without_seconds_bands_are_counted() -> None:
    _, names = divided({"a": spec(1, 5)}, {"a": torch.zeros(1, 1, 1, 5)}, {})
    assert names == [f"band {number}" for number in range(1, 6)]


def test_frequencies_divide_every_band() -> None:
    found, names = divided({"a": spec(6, 32)}, {"a": torch.zeros(1, 1, 6, 32)}, {}, 3)
    assert names[:4] == ["band 1 low", "band 1 middle", "band 1 high", "band 2 low"]
    assert found["a"][0, 0, :, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert int(found["a"].max()) == 3 * BANDS - 1


def test_a_missing_sound_is_one_player() -> None:
    inputs = torch.stack([torch.zeros(1, 1, 32), torch.full((1, 1, 32), torch.nan)])
    found, _ = divided({"a": spec(1, 32)}, {"a": inputs}, {})
    assert found["a"][1].unique().tolist() == [0]
    assert len(found["a"][0].unique()) == BANDS


def test_what_stands_behind_the_end_of_a_sound_belongs_to_its_last_band() -> None:
    inputs = torch.zeros(2, 1, 2, 32)
    inputs[0, 0, 1, :7] = 1.0
    inputs[1, 0, 0, 31] = -1.0
    found, _ = divided({"a": spec(2, 32)}, {"a": inputs}, {})
    assert found["a"][0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, *[3] * 26]
    assert len(found["a"][1].unique()) == BANDS
