"""Categories as trees like them: the one-hot features of a column become what the target is on average there.

A tree needs many splits to tell twenty one-hot features apart, and one to part them by their targets' means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from autodl.estimators._answers import n_classes
from autodl.estimators._prepared import Prepared
from autodl.records import Task

_PRIOR_ROWS = 10.0  # so many rows of the overall mean are added to each category's own
_MOST_FACES = 5  # classes, or targets, whose means are laid side by side


class Coded(Prepared):
    """An estimator that sees means instead of one-hot features; stands before the class that fits and predicts.

    The means are of the rows that it is fitted on, so that rows held out never speak for themselves.

    Reference:
        Micci-Barreca: A preprocessing scheme for high-cardinality categorical attributes, SIGKDD Explorations 3 (2001),
        equation 3, with a constant weight of the prior.
    """

    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """As the contract says."""
        codes = learn(x, faces(self.task, targets), self.groups)
        super().fit(translate(x, codes), targets, weights, stop)  # type: ignore[safe-super]
        self.learnt = {**self.learnt, "codes": codes}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As the contract says."""
        return np.asarray(super().predict(translate(x, self.learnt["codes"])))  # type: ignore[safe-super]

    def _prepare(self, found: Any) -> None:
        super()._prepare(found)  # type: ignore[safe-super]
        if "codes" in found and not _fits_together(found["codes"]):
            raise ValueError("the means of its categories do not fit together")


def faces(task: Task, targets: np.ndarray) -> np.ndarray:
    """What the means are taken of: the target, or 0 and 1 for each of the first classes. Shape: rows … → rows faces."""
    classes = n_classes(task)
    if classes and targets.ndim == 1:
        wanted = np.arange(1 if classes == 2 else 0, min(classes, _MOST_FACES))
        return np.asarray(targets[:, None] == wanted, np.float64)
    return np.asarray(targets.reshape(len(targets), -1)[:, :_MOST_FACES], np.float64)


def learn(x: np.ndarray, seen: np.ndarray, groups: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The mean of each one-hot feature's rows, and of all rows for those that have none of a group.

    Shape:
        x: rows features
        seen: rows faces
    """
    prior = seen.mean(axis=0)
    members = np.array([feature for group in groups for feature in group], np.int64)
    block = np.nan_to_num(x[:, members]) > 0
    counts = block.sum(axis=0)[:, None]
    sums = block.T.astype(np.float64) @ seen
    means = (sums + _PRIOR_ROWS * prior) / (counts + _PRIOR_ROWS)
    kept = np.setdiff1d(np.arange(x.shape[1]), members)
    starts = np.cumsum([0, *(len(group) for group in groups)])
    return {"members": members, "starts": starts, "means": means, "prior": prior, "kept": kept}


def translate(x: np.ndarray, codes: Mapping[str, Any]) -> np.ndarray:
    """Rows with the groups' means behind all other features. Shape: rows features → rows others+groups·faces."""
    members, starts, prior = codes["members"], codes["starts"], codes["prior"]
    parts = [x[:, codes["kept"]]]
    for start, end in pairwise(starts):
        block = np.nan_to_num(x[:, members[start:end]])
        found = np.where(block.max(axis=1, keepdims=True) > 0, codes["means"][start:end][block.argmax(axis=1)], prior)
        parts.append(found.astype(np.float32))
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _fits_together(codes: Mapping[str, Any]) -> bool:
    members, starts, kept = (np.asarray(codes[name]) for name in ("members", "starts", "kept"))
    bounds = len(starts) > 0 and starts[0] == 0 and starts[-1] == len(members) and bool((np.diff(starts) > 0).all())
    there = all(bool((each >= 0).all()) for each in (members, kept))
    return bounds and there and np.shape(codes["means"]) == (len(members), len(codes["prior"]))
