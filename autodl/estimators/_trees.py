"""Trees laid end to end in a few arrays: what forests and boosting keep of scikit-learn's objects.

A file of thousands of small objects takes seconds to read; one of a few arrays takes none.

    starts        trees + 1      where each tree begins among the nodes, and where the last one ends
    children      nodes 2        the nodes that a row goes on to, right one first; of a leaf itself, twice
    feature       nodes          that the node asks for
    threshold     nodes          up to which a row goes left
    gaps_left     nodes          whether a row that lacks the feature does
    values        leaves …       what each leaf answers
    features      (a number)     of the rows
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_PAIRS = 65_536  # of a tree and a row that are looked up together
_MANY = 1000  # rows from which scikit-learn's compiled look-up is faster, its import included


class Nodes(NamedTuple):
    """One tree, node by node, children as positions within it."""

    leaf: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    gaps_left: np.ndarray
    values: np.ndarray


def nodes_of_forest(tree: Any) -> Nodes:
    """Read scikit-learn's ``Tree``."""
    leaf = tree.children_left == -1
    gaps_left = tree.missing_go_to_left != 0
    return Nodes(leaf, tree.children_left, tree.children_right, tree.feature, tree.threshold, gaps_left, tree.value)


def nodes_of_boosting(predictor: Any) -> Nodes:
    """Read scikit-learn's ``TreePredictor``, whose features are all numbers."""
    own = predictor.nodes
    assert not own["is_categorical"].any(), "internal error: a feature that is no number"
    leaf, gaps_left = own["is_leaf"] != 0, own["missing_go_to_left"] != 0
    return Nodes(leaf, own["left"], own["right"], own["feature_idx"], own["num_threshold"], gaps_left, own["value"])


def pack(trees: Sequence[Nodes], features: int) -> dict[str, Any]:
    """Lay trees end to end.

    Rows are float32, so that a threshold may be the last float32 that is no larger.
    """
    starts = np.cumsum([0, *(len(tree.leaf) for tree in trees)])
    leaf = np.concatenate([tree.leaf for tree in trees])
    first = np.repeat(starts[:-1], np.diff(starts))
    children = np.stack([np.concatenate([getattr(tree, side) for tree in trees]) for side in ("right", "left")], axis=1)
    ahead = np.where(leaf[:, None], np.arange(len(leaf))[:, None], children.astype(np.int64) + first[:, None])
    exact = np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees]))
    threshold = exact.astype(np.float32)
    rounded_up = threshold > exact
    threshold[rounded_up] = np.nextafter(threshold[rounded_up], np.float32(-np.inf))
    return {
        "starts": starts,
        "children": ahead.astype(np.int32),
        "feature": np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
        "threshold": threshold,
        "gaps_left": np.concatenate([tree.gaps_left for tree in trees]) & ~leaf,
        "values": np.concatenate([tree.values[tree.leaf] for tree in trees]),
        "features": features,
    }


class Trees:
    """Packed trees, ready to be asked.

    Args:
        packed: As ``pack`` returns it, and as a file may have it.

    Raises:
        ValueError: A row would leave the nodes or its features, or go round in circles.
    """

    def __init__(self, packed: Mapping[str, Any]) -> None:
        self._starts = np.asarray(packed["starts"], np.int64)
        self._children = np.asarray(packed["children"], np.int32)
        self._feature = np.asarray(packed["feature"], np.int32)
        self._threshold = np.asarray(packed["threshold"], np.float32)
        self._gaps_left = np.asarray(packed["gaps_left"], np.bool_)
        self._values = np.asarray(packed["values"], np.float64)
        self._features = int(packed["features"])
        if not (self._has_its_shapes() and self._leads_on()):
            raise ValueError("its trees point to nodes or features that are not there")
        self._inner = self._children[:, 1] != np.arange(len(self._children))
        self._leaf = np.cumsum(~self._inner, dtype=np.int32) - 1

    def __len__(self) -> int:
        return len(self._starts) - 1

    def answers(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what each tree answers, in their order. Shape: rows features → (each) rows …."""
        if x.dtype != np.float32 or x.shape[1:] != (self._features,):
            raise ValueError(
                f"rows must be float32 with {self._features} features, however they are {x.dtype}{x.shape}"
            )
        for leaves in self._compiled(x) if len(x) >= _MANY else self._walked(x):
            yield self._values.take(leaves, axis=0)

    def _has_its_shapes(self) -> bool:
        count, starts = len(self._feature), self._starts
        alike = {self._feature.shape, self._threshold.shape, self._gaps_left.shape} == {(count,)}
        bounds = starts.ndim == 1 and len(starts) > 1 and starts[0] == 0 and starts[-1] == count
        return alike and self._children.shape == (count, 2) and bounds and bool((np.diff(starts) > 0).all())

    def _leads_on(self) -> bool:
        """Whether each node is a leaf, or leads to later ones of its tree by a feature that rows have."""
        here = np.arange(len(self._feature))
        end = np.repeat(self._starts[1:], np.diff(self._starts))
        leaf = (self._children == here[:, None]).all(axis=1)
        ahead = ((self._children > here[:, None]) & (self._children < end[:, None])).all(axis=1)
        asked = (self._feature >= 0) & (self._feature < self._features)
        return bool((leaf | ahead).all() and asked.all() and np.count_nonzero(leaf) == len(self._values))

    def _walked(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Each tree's leaf for each row: all trees take a step at a time, which suits few rows."""
        step = max(_PAIRS // max(len(x), 1), 1)
        for first in range(0, len(self), step):
            yield from self._leaf[self._ends(x, self._starts[first : min(first + step, len(self))])]

    def _ends(self, x: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """The nodes at which rows end that start at each root. Shape: → roots rows."""
        cells, children, gaps = x.ravel(), self._children.ravel(), bool(np.isnan(x).any())
        found = np.repeat(roots, len(x))
        under_way = np.flatnonzero(self._inner.take(found))
        node = found.take(under_way)
        row = np.tile(np.arange(len(x)) * x.shape[1], len(roots)).take(under_way)
        while len(node):
            cell = cells.take(row + self._feature.take(node))
            left = cell <= self._threshold.take(node)
            if gaps:
                left |= np.isnan(cell) & self._gaps_left.take(node)
            node = children.take(2 * node + left)
            found[under_way] = node
            inner = self._inner.take(node)
            under_way, node, row = under_way[inner], node[inner], row[inner]
        return found.reshape(len(roots), len(x))

    def _compiled(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """The same by scikit-learn, a tree at a time."""
        from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

        nobody = np.zeros((0, 8), np.uint32)  # no feature is a category
        categories, threads = np.zeros(self._features, np.uint32), _openmp_effective_n_threads()
        rows, found = x.astype(np.float64), np.empty(len(x))
        for start, end in zip(self._starts[:-1], self._starts[1:], strict=True):
            _predict_from_raw_data(self._records(start, end), rows, nobody, nobody, categories, threads, found)
            yield found.astype(np.int32)

    def _records(self, start: int, end: int) -> np.ndarray:
        """One tree's nodes as scikit-learn reads them; a leaf's value is its position among all leaves."""
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

        own = slice(start, end)
        records = np.zeros(end - start, PREDICTOR_RECORD_DTYPE)
        records["right"], records["left"] = (self._children[own] - start).T
        records["is_leaf"], records["value"] = ~self._inner[own], self._leaf[own]
        records["feature_idx"], records["num_threshold"] = self._feature[own], self._threshold[own]
        records["missing_go_to_left"] = self._gaps_left[own]
        return records
