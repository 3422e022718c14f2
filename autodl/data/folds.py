"""Cross-validation: the rows that are not the test, divided into folds, and how many folds suit a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autodl.data.dataset import Dataset
from autodl.data.scales import with_scales
from autodl.data.split import split_notes, strata_in_words, strata_of
from autodl.errors import DataError
from autodl.records import Split

LADDER = ((8, 2), (8, 1), (5, 1), (3, 1), (1, 1))
"""Folds and repeats, from the dearest to one held-out part."""
ROWS = ((300, 0), (2_000, 1), (10_000, 2))
"""Below so many rows the search begins at that step of the ladder; with more, one part is held out."""
ROWS_A_SECOND = 400
"""Rows times folds that one second of the budget may carry: with more, the search goes down the ladder."""
PICTURE_ROWS = 5_000
PICTURE_SECONDS = 300.0
"""Images and sounds, which cost far more a row, get (5, 1) up to so many rows with at least so much time."""


def auto_folds(dataset: Dataset, seconds: float | None) -> tuple[int, int]:
    """Choose folds and repeats that suit a table and a budget; (1, 1) means that one part is held out.

    | rows but the test's | folds | repeats |
    |---|---|---|
    | < 300 | 8 | 2 |
    | < 2,000 | 8 | 1 |
    | < 10,000 | 5 | 1 |
    | more; ordered in time; a validation file | held out | |

    Little time, images and sounds, and few groups make them fewer: see the constants of this file.

    Args:
        dataset: With its three parts.
        seconds: The budget; None means no limit.
    """
    rows = len(dataset.split.rows)
    step = next((step for limit, step in ROWS if rows < limit), len(LADDER) - 1)
    if dataset.rule.order is not None or dataset.rule.validation_rows:
        return LADDER[-1]
    if dataset.schema.of_kind("image", "audio"):
        patient = seconds is None or seconds >= PICTURE_SECONDS
        step = max(step, 2) if rows <= PICTURE_ROWS and patient else len(LADDER) - 1
    while LADDER[step][0] > 1 and seconds is not None and seconds * ROWS_A_SECOND < rows * np.prod(LADDER[step]):
        step += 1
    folds, repeats = LADDER[step]
    units = _units(dataset)
    return (units, 1) if units < folds else (folds, repeats)


def cross_validated(dataset: Dataset, folds: int, repeats: int = 1) -> Dataset:
    """Divide all rows but the test's into folds, each of which is predicted by what was fitted on the others.

    Classes, or bins of numbers, have their share in every fold; where rows have groups, these stay whole.

    Args:
        dataset: With its three parts.
        folds: How many; 1 leaves the one part held out, and the dataset as it is.
        repeats: How often all rows are divided anew.

    Raises:
        DataError: Rows are held out by time or as a file, or there are fewer rows or groups than folds.
    """
    if folds == 1:
        return dataset
    _check(dataset, folds)
    rows = np.sort(dataset.split.rows)
    cross = []
    for repeat in range(repeats):
        rng = np.random.default_rng([dataset.rule.seed, repeat])
        fold_of = _dealt(dataset.targets[rows], _groups(dataset, rows), folds, rng)
        cross += [(rows[fold_of != fold], rows[fold_of == fold]) for fold in range(folds)]
    how = _in_words(dataset, [len(validation) for _, validation in cross[:folds]], repeats)
    split = Split(rows, rows, dataset.split.test, how, tuple(cross))
    before = split_notes(dataset.task, dataset.targets, dataset.split)
    notes = [note for note in dataset.notes if note not in before]
    return replace(
        dataset,
        split=split,
        task=with_scales(dataset.task, dataset.targets[rows]),
        notes=(*notes, *split_notes(dataset.task, dataset.targets, split)),
    )


def _check(dataset: Dataset, folds: int) -> None:
    rule = dataset.rule
    if rule.order is not None:
        raise DataError(
            f"rows ordered in time must not be cross-validated, however {folds} folds came: a network would know the "
            "future; leave --folds out: the rows before the test in time are held out"
        )
    if rule.validation_rows:
        raise DataError(
            f"one of --folds and --validation must be chosen, however both came; leave --folds out: the "
            f"{rule.validation_rows:,} rows of the file are held out"
        )
    units = _units(dataset)
    if units < folds:
        what = "groups" if rule.groups is not None else "rows beside the test"
        raise DataError(f"--folds must be at most {units}, the {what}, however {folds} came; lower it")


def _units(dataset: Dataset) -> int:
    """How many folds there may be at most: one a row, or one a group."""
    rows = dataset.split.rows
    groups = _groups(dataset, rows)
    return len(rows) if groups is None else len(np.unique(groups))


def _groups(dataset: Dataset, rows: np.ndarray) -> np.ndarray | None:
    return None if dataset.rule.groups is None else dataset.rule.groups[rows]


def _dealt(targets: np.ndarray, groups: np.ndarray | None, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each row."""
    strata = strata_of(targets)
    if groups is not None:
        return _whole_groups(groups, strata, folds, rng)
    # Dealt like cards, one stratum after the other: no fold has more than one row more than another, neither of
    # all rows nor of a stratum.
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    fold_of = np.empty(len(strata), dtype=np.int64)
    fold_of[order] = (np.arange(len(strata)) + rng.integers(folds)) % folds
    return fold_of


def _whole_groups(groups: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal groups, the largest first, each to the fold that has least of what the group brings."""
    names, codes = np.unique(groups, return_inverse=True)
    sizes = np.bincount(codes)
    order = rng.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    by_group = np.argsort(codes, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)])
    share = 1 / np.bincount(strata)
    held = np.zeros((folds, len(share) + 1))  # of each stratum, and of all rows, as shares of the whole
    fold_of = np.empty(len(names), dtype=np.int64)
    for group in order:
        brought = np.zeros(len(share) + 1)
        brought[:-1] = np.bincount(strata[by_group[first[group] : first[group + 1]]], minlength=len(share)) * share
        brought[-1] = len(share) * sizes[group] / len(codes)  # sizes count as much as all strata together
        fold_of[group] = fold = int(np.argmin(held @ brought))
        held[fold] += brought
    return fold_of[codes]


def _in_words(dataset: Dataset, sizes: list[int], repeats: int) -> str:
    rule = dataset.rule
    rows = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    often = {1: "", 2: ", twice"}.get(repeats, f", {repeats} times")
    dealt = "whole groups" if rule.groups is not None else f"stratified by {strata_in_words(dataset.targets)}"
    given = "; test rows as given" if rule.test_rows else ""
    parts = f"{len(sizes)} folds of {rows} rows{often}, {len(dataset.split.test):,} test rows"
    return f"{parts}: {dealt}, seed {rule.seed}{given}"
