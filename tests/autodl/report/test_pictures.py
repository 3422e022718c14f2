from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autodl.errors import ExplanationError
from autodl.report._pictures import data_uri, opened


def test_a_picture_is_opened_small_and_opaque(tmp_path: Path) -> None:
    Image.new("RGBA", (1000, 500), (255, 0, 0, 0)).save(tmp_path / "a.png")
    found = opened(str(tmp_path / "a.png"))
    assert found.shape == (128, 256, 3)
    assert (found == 255).all()  # what is transparent shows white
    assert opened(np.zeros((4, 6), np.uint8)).shape == (4, 6, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_cannot_be_shown_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    for cell in (str(tmp_path / "a.png"), str(tmp_path / "gone.png"), None, str(tmp_path)):
        with pytest.raises(ExplanationError, match="must be readable to be shown"):
            opened(cell)


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (6000, 6000)).save(tmp_path / "a.png")
    with pytest.raises(ExplanationError, match="25 megapixels"):
        opened(str(tmp_path / "a.png"))


def test_exact_pictures_keep_every_pixel_and_photographs_take_less_room() -> None:
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    exact = np.asarray(Image.open(io.BytesIO(base64.b64decode(data_uri(image).split(",")[1]))))
    np.testing.assert_array_equal(exact, image)
    loose = data_uri(image, exact=False)
    assert loose.startswith("data:image/jpeg;base64,")
    assert len(loose) < len(data_uri(image)) / 2
