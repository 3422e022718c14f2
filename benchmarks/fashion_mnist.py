"""Write the IDX files of Fashion-MNIST (or MNIST) as ``train`` and ``test`` folders of PNGs, one sub-folder a class.

    python benchmarks/fashion_mnist.py IDX_FOLDER OUT_FOLDER

Reference:
    Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
    arXiv 1708.07747.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def read_idx(path: Path) -> np.ndarray:
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(source / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        for label in range(10):
            (out / part / str(label)).mkdir(parents=True, exist_ok=True)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image).save(out / part / str(label) / f"{index:05d}.png", compress_level=1)


if __name__ == "__main__":
    main()
