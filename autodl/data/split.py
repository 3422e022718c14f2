"""Rows → training, validation and test parts: seeded, and stratified, by whole groups or by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autodl.data.table import listed
from autodl.errors import DataError
from autodl.records import Split, Task

VALIDATION_LIMIT = 20_000
"""More rows than these steer a search no better, and cost time at every epoch."""
_BINS = 20
_ROWS_A_BIN = 5
_TABLE_LIMIT = 10_000_000


@dataclass(frozen=True, eq=False)
class SplitRule:
    """How rows are divided.

    Attributes:
        test_share: The test part, of all rows.
        validation_share: The validation part, of the rows that are left.
        seed: Source of chance.
        groups: ``(rows,)`` codes: rows of one code stay together.
        order: ``(rows,)`` numbers: the last rows are the test part, and those before them the validation part.
        test_rows: Rows that follow the others and are the test part; none is cut then.
        validation_rows: Rows that follow the others, before the test rows, and are the validation part.
    """

    test_share: float = 0.2
    validation_share: float = 0.2
    seed: int = 0
    groups: np.ndarray | None = None
    order: np.ndarray | None = None
    test_rows: int = 0
    validation_rows: int = 0


def strata_of(targets: np.ndarray) -> np.ndarray:
    """Return the class of each row; for numbers the bin between quantiles.

    Several 0/1 targets make a class of each of their most frequent combinations and one of all others; of several
    numbers the first counts.

    Shape: rows, or rows targets → rows.
    """
    if targets.ndim == 2:
        return _combinations(targets) if np.isin(targets, (0, 1)).all() else strata_of(targets[:, 0])
    if targets.dtype.kind != "f":
        return np.unique(targets, return_inverse=True)[1]
    bins = max(1, min(_BINS, len(targets) // _ROWS_A_BIN))
    rank = np.empty(len(targets), dtype=np.int64)
    rank[np.argsort(targets, kind="stable")] = np.arange(len(targets))
    return rank * bins // len(targets)


def _combinations(targets: np.ndarray) -> np.ndarray:
    _, codes, rows = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
    rank = np.empty(len(rows), dtype=np.int64)
    rank[np.argsort(-rows, kind="stable")] = np.arange(len(rows))
    return np.asarray(np.minimum(rank[codes.reshape(-1)], _BINS - 1))


def split_rows(targets: np.ndarray, rule: SplitRule) -> Split:
    """Divide rows into three parts, each with at least one row.

    A class with one row goes to the training part, one with two rows to training and validation; any other class has
    rows in each part where there are rows enough.

    Args:
        targets: ``(rows,)``: class indices or numbers of the rows to divide; those of ``test_rows`` and
            ``validation_rows`` are not among them.
        rule: How.

    Raises:
        DataError: There are fewer groups than parts.
    """
    rng = np.random.default_rng(rule.seed)
    strata = strata_of(targets)
    rest = np.arange(len(targets))
    cuts = {}
    parts = [name for name, given in (("test", rule.test_rows), ("validation", rule.validation_rows)) if not given]
    for still_to_cut, name in zip(range(len(parts), 0, -1), parts, strict=True):
        share = rule.test_share if name == "test" else rule.validation_share
        count = min(max(1, round(share * len(rest))), len(rest) - still_to_cut)
        if name == "validation":
            count = min(count, VALIDATION_LIMIT)
        cuts[name] = np.sort(_cut(rest, count, still_to_cut, strata, rule, rng))
        rest = np.setdiff1d(rest, cuts[name], assume_unique=True)
    first_test = len(targets) + rule.validation_rows
    validation = cuts.get("validation", np.arange(len(targets), first_test))
    test = cuts.get("test", np.arange(first_test, first_test + rule.test_rows))
    return Split(rest, validation, test, _in_words(rule, targets, [len(rest), len(validation), len(test)]))


def _cut(
    rest: np.ndarray, count: int, reserve: int, strata: np.ndarray, rule: SplitRule, rng: np.random.Generator
) -> np.ndarray:
    """Choose about ``count`` of the remaining rows; ``reserve`` parts still take theirs from the others."""
    if rule.order is not None:
        return np.asarray(rest[np.argsort(rule.order[rest], kind="stable")[-count:]])
    if rule.groups is not None:
        return np.asarray(rest[_whole_groups(rule.groups[rest], strata[rest], count, reserve, rng)])
    return np.asarray(rest[_stratified(strata[rest], count, reserve, rng)])


def _stratified(strata: np.ndarray, count: int, reserve: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows so that each stratum gives its share.

    The i-th row, in random order, of a stratum of n rows stands at (i + u) / n with one random u a row; the rows that
    stand first are drawn. The first of each stratum stands before all others, and the last ``reserve`` ones after.
    """
    shuffled = rng.permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    _, first, sizes = np.unique(strata[by_stratum], return_index=True, return_counts=True)
    place = np.arange(len(strata)) - np.repeat(first, sizes)
    size = np.repeat(sizes, sizes)
    standing = (place + rng.random(len(strata))) / size
    standing[place == 0] = -1.0
    standing[place >= size - reserve] = np.inf
    drawn = np.lexsort((rng.random(len(strata)), standing))[:count]
    return np.asarray(by_stratum[drawn])


def _whole_groups(
    groups: np.ndarray, strata: np.ndarray, count: int, reserve: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw groups in random order, each where it brings the rows drawn of each stratum closer to their share."""
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) <= reserve:
        raise DataError(
            f"--group must have at least {reserve + 1} different values, however {len(names)} came; "
            "choose a finer one, or give --test FILE"
        )
    width = int(strata.max()) + 1
    if len(names) * width > _TABLE_LIMIT:
        strata, width = np.zeros_like(strata), 1
    table = np.bincount(codes * width + strata, minlength=len(names) * width).reshape(len(names), width)
    goal = table.sum(0) * (count / len(groups))
    lacking, chosen = goal.copy(), np.zeros(len(names), dtype=bool)
    left = len(names) - reserve
    for group in rng.permutation(len(names)):
        if left and np.sum((lacking - table[group]) ** 2) < np.sum(lacking**2):
            lacking -= table[group]
            chosen[group] = True
            left -= 1
    if not chosen.any():
        chosen[np.argmin(table.sum(1))] = True
    return np.flatnonzero(chosen[codes])


def _in_words(rule: SplitRule, targets: np.ndarray, sizes: list[int]) -> str:
    if rule.order is not None:
        how = "the last rows in time for the test, those before them for validation"
    elif rule.groups is not None:
        how = f"whole groups, drawn with seed {rule.seed}"
    else:
        how = f"stratified by {strata_in_words(targets)}, seed {rule.seed}"
    given = [name for name, rows in (("validation", rule.validation_rows), ("test", rule.test_rows)) if rows]
    files = f"; {' and '.join(given)} rows as given" if given else ""
    return f"{sizes[0]:,} training, {sizes[1]:,} validation, {sizes[2]:,} test rows: {how}{files}"


def strata_in_words(targets: np.ndarray) -> str:
    """What ``strata_of`` keeps the share of."""
    if targets.ndim == 2 and np.isin(targets, (0, 1)).all():
        return "combination of labels"
    return "target quantile" if targets.dtype.kind == "f" else "class"


def split_notes(task: Task, targets: np.ndarray, split: Split) -> tuple[str, ...]:
    """How rows were divided, and which classes or labels cannot be learnt from the training rows."""
    notes = [f"split: {split.how}"]
    if task.is_classification:
        learnt = np.bincount(targets[split.train], minlength=len(task.classes))
        rows = np.bincount(targets, minlength=len(task.classes))
        lacking = [str(label) for label, count in zip(task.classes, learnt, strict=True) if not count]
        single = [str(label) for label, count in zip(task.classes, rows, strict=True) if count == 1]
        if lacking:
            notes.append(f"no training row has the class {listed(lacking)}: it cannot be learnt")
        if single:
            notes.append(f"only one row has the class {listed(single)}: no part but one holds it")
    elif task.kind == "multilabel":
        known = targets[split.train]
        alike = [name for name, constant in zip(task.targets, (known == known[0]).all(axis=0), strict=True) if constant]
        if alike:
            notes.append(f"all training rows have the same {listed(alike)}: it cannot be learnt")
    return tuple(notes)
