"""A folder with one sub-folder of images a class."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import autodl


def write_images(folder: Path, images: int = 1797) -> None:
    """Write handwritten digits as ``0/0000.png``, ``1/0001.png`` …"""
    found = load_digits()
    for index, (pixels, digit) in enumerate(zip(found.images[:images], found.target, strict=False)):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(folder / str(digit) / f"{index:04}.png")


def main(folder: Path, images: int = 1797, time: str | None = "2m", trials: int | None = None) -> dict[str, float]:
    """Search; the folder's names are the classes."""
    write_images(folder / "digits", images)
    predictor = autodl.search(folder / "digits", metric="accuracy", time=time, trials=trials, output=folder / "run")
    return dict(predictor.scores["test"])


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        print(main(Path(temporary)))
