from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from autodl.efficientnet import EfficientNet
from autodl.modalities._image_features import BATCH, MAPS, maps_of


def images(count: int, height: int = 64, width: int = 64) -> np.ndarray:
    """Soft patches of colour, so that the network sees something."""
    coarse = torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    return functional.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8).numpy()


def test_is_the_root_of_each_quarters_mean() -> None:
    pixels = images(2, 64, 128)
    with torch.no_grad():
        maps = EfficientNet()((torch.from_numpy(pixels).float() - 127) / 128)
    assert maps.shape == (2, 1280, 2, 4)
    quarters = torch.stack([maps[..., :2].mean(-1), maps[..., 2:].mean(-1)], -1)
    expected = (255 * (quarters / 6).sqrt()).round().numpy()
    found = maps_of(pixels)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 1  # float32 may round either way
    assert (found != expected).mean() < 0.001
    assert found.std() > 20


def test_a_row_does_not_see_the_others() -> None:
    """To the last bit, whatever the number of rows: on some processors sums depend on the size of a batch."""
    pixels = images(BATCH + 3)
    together = maps_of(pixels)
    for row in (0, BATCH - 1, BATCH, BATCH + 2):
        assert np.array_equal(maps_of(pixels[row : row + 1])[0], together[row])
    assert np.array_equal(maps_of(pixels[::-1].copy())[::-1], together)


def test_no_rows_and_tiny_images() -> None:
    assert maps_of(images(0)).shape == (0, *MAPS)
    assert maps_of(images(1, 1, 64)).shape == (1, *MAPS)


def test_images_are_left_as_they_were() -> None:
    pixels = images(2)
    before = pixels.copy()
    maps_of(pixels)
    assert np.array_equal(pixels, before)
