"""Pictures as the user has them, small: for pages on models that see no pixels; and any picture as text for a page."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodl.errors import ExplanationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SIDE = 256
"""Pixels of the longer side at most."""
SMALLEST = 224
"""Pixels that a picture is enlarged to at least, so that a browser does not blur it."""
MEGAPIXELS = 25  # a larger picture is not decoded
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # none that runs another program, as EPS does


def opened(cell: Any, side: int = SIDE) -> Array:
    """The picture of a cell, upright and opaque, no larger than needed. Shape: → height width 3, uint8

    Args:
        cell: A path, or a uint8 array ``(H, W)`` or ``(H, W, 3)``.
        side: Pixels of the longer side at most.

    Raises:
        ExplanationError: There is none, or it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and of size, which is checked here
            if isinstance(cell, np.ndarray):
                return _small(Image.fromarray(cell), side)
            if not isinstance(cell, str) or not Path(cell).is_file():
                raise FileNotFoundError(f"there is no file {cell}" if isinstance(cell, str) else "the cell is empty")
            with Image.open(cell, formats=FORMATS) as image:
                if image.width * image.height > MEGAPIXELS * 1_000_000:
                    raise ValueError(f"it is larger than {MEGAPIXELS} megapixels")
                image.draft("RGB", (2 * side, 2 * side))
                ImageOps.exif_transpose(image, in_place=True)
                return _small(image, side)
    except Exception as error:  # decoders meet damaged bytes with errors of every kind
        why = str(error)[:200] or type(error).__name__
        raise ExplanationError(
            f"a picture must be readable to be shown, however {why}; put the file back, or look at the numbers"
        ) from None


def _small(image: Any, side: int) -> Array:
    from PIL import Image

    image.thumbnail((side, side))
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return np.asarray(image.convert("RGB"))


def data_uri(image: Array, *, exact: bool = True) -> str:
    """A picture as text that a page can hold; small ones are enlarged.

    Args:
        image: Shape: height width, or height width 3.
        exact: Whether every pixel stays as it is; if not a photograph takes a tenth of the room.
    """
    from PIL import Image

    times = -(-SMALLEST // max(image.shape[:2]))
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    buffer = io.BytesIO()
    if exact:
        Image.fromarray(large).save(buffer, format="PNG", optimize=True)
    else:
        Image.fromarray(large).save(buffer, format="JPEG", quality=85)
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
