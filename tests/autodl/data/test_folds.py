from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.dataset import DataOptions, Dataset, load_dataset
from autodl.data.folds import auto_folds, cross_validated
from autodl.data.split import SplitRule, split_rows
from autodl.errors import DataError
from autodl.records import Column, Schema, Task


def dataset(targets: np.ndarray, kind: str = "number", **rule) -> Dataset:
    """Rows whose targets and split are given, of one column."""
    how = SplitRule(**rule)
    numeric = targets.dtype.kind == "f"
    classes = () if numeric else tuple(range(int(targets.max()) + 1))
    return Dataset(
        frame=pd.DataFrame({"x": np.arange(len(targets) + how.validation_rows + how.test_rows)}),
        schema=Schema((Column("x", kind),)),
        task=Task("y", "regression" if numeric else "multiclass", classes),
        targets=targets,
        split=split_rows(targets, how),
        source="frame",
        root=None,
        fingerprint="",
        notes=(),
        rule=how,
    )


def check_folds(found: Dataset, before: Dataset, folds: int, repeats: int) -> None:
    rows = np.sort(np.concatenate([before.split.train, before.split.validation]))
    np.testing.assert_array_equal(found.split.train, rows)
    np.testing.assert_array_equal(found.split.validation, rows)
    np.testing.assert_array_equal(found.split.test, before.split.test)
    assert len(found.split.folds) == folds * repeats
    for training, validation in found.split.cross:
        assert len(training)
        assert len(validation)
        assert all(np.all(np.diff(part) > 0) for part in (training, validation))
        np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), rows)
    for start in range(0, folds * repeats, folds):
        validated = np.concatenate([validation for _, validation in found.split.cross[start : start + folds]])
        np.testing.assert_array_equal(np.sort(validated), rows)


TARGETS = st.lists(st.integers(0, 4), min_size=12, max_size=120).map(np.array) | st.lists(
    st.floats(-1e6, 1e6), min_size=12, max_size=120
).map(np.array)


@settings(deadline=None)
@given(TARGETS, st.integers(2, 8), st.integers(1, 3), st.integers(0, 2**32))
def test_every_row_but_the_tests_is_validated_once_a_repeat(targets, folds, repeats, seed):
    before = dataset(targets, seed=seed)
    found = cross_validated(before, folds, repeats)
    check_folds(found, before, folds, repeats)
    sizes = [len(validation) for _, validation in found.split.cross]
    assert max(sizes) - min(sizes) <= 1
    again = cross_validated(before, folds, repeats)
    for one, two in zip(found.split.cross, again.split.cross, strict=True):
        np.testing.assert_array_equal(one[1], two[1])


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(2, 8), st.integers(0, 99))
def test_classes_are_dealt_evenly(sizes, folds, seed):
    """No fold has more than one row of a class more than another, however few there are."""
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    targets = np.concatenate([targets, np.zeros(12, dtype=np.int64)])
    for training, validation in cross_validated(dataset(targets, seed=seed), folds).split.cross:
        counts = np.bincount(targets[validation], minlength=len(sizes))
        total = counts + np.bincount(targets[training], minlength=len(sizes))
        assert np.all(counts >= total // folds)
        assert np.all(counts <= -(-total // folds))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2)), min_size=12, max_size=120),
    st.integers(2, 8),
    st.integers(0, 99),
)
def test_groups_stay_whole(rows, folds, seed):
    groups, targets = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(groups.tolist())) < 3:
        return
    before = dataset(targets, seed=seed, groups=groups)
    held = len(set(groups[before.split.rows].tolist()))
    if held < folds:
        with pytest.raises(DataError, match=f"--folds must be at most {held}, the groups, however {folds} came"):
            cross_validated(before, folds)
        assert auto_folds(before, None)[0] <= held
        return
    found = cross_validated(before, folds)
    check_folds(found, before, folds, 1)
    for training, validation in found.split.cross:
        assert not set(groups[training].tolist()) & set(groups[validation].tolist())


def test_groups_give_folds_of_like_size_and_shares():
    rng = np.random.default_rng(0)
    groups, targets = rng.integers(0, 150, 3000), (rng.random(3000) < 0.3).astype(np.int64)
    before = dataset(targets, groups=groups)
    for _, validation in cross_validated(before, 5).split.cross:
        assert len(validation) == pytest.approx(480, rel=0.06)
        assert targets[validation].mean() == pytest.approx(0.3, abs=0.03)


def test_repeats_and_seeds_divide_anew():
    before = dataset(np.tile([0, 1], 50))
    cross = cross_validated(before, 4, 2).split.cross
    assert cross[0][1].tolist() != cross[4][1].tolist()
    other = cross_validated(replace(before, rule=SplitRule(seed=1)), 4).split.cross
    assert cross[0][1].tolist() != other[0][1].tolist()


def test_a_fold_of_one_leaves_the_dataset_as_it_is():
    before = dataset(np.tile([0, 1], 20))
    assert cross_validated(before, 1) is before


def test_scale_and_notes_are_of_all_rows_but_the_tests():
    table = pd.DataFrame({"x": np.arange(100) % 7, "y": np.random.default_rng(0).lognormal(size=100)})
    before = load_dataset(table, DataOptions(target="y"))
    found = cross_validated(before, 5, 2)
    rows = before.split.rows
    assert found.task.scale().location[0] == pytest.approx(found.targets[rows].mean())
    assert found.task.scale("log").location[0] == pytest.approx(np.log(found.targets[rows]).mean())
    assert [note for note in found.notes if note.startswith("split:")] == [
        "split: 5 folds of 16 rows, twice, 20 test rows: stratified by target quantile, seed 0"
    ]
    assert [note for note in found.notes if not note.startswith("split:")] == [
        note for note in before.notes if not note.startswith("split:")
    ]


def test_a_class_of_one_row_is_no_error_and_told():
    table = pd.DataFrame({"x": np.arange(60) % 7, "y": ["a", "b"] * 29 + ["b", "c"]})
    found = cross_validated(load_dataset(table, DataOptions(target="y", keep=("x",))), 8)
    assert sum(59 in validation for _, validation in found.split.cross) == 1
    assert found.notes[-1].startswith("only one row has the class 'c'")


def test_given_test_rows_are_never_inside(tmp_path: Path):
    table = pd.DataFrame({"x": np.arange(60) % 7, "g": np.arange(60) % 9, "y": ["a", "b", "c"] * 20})
    table.head(15).to_csv(tmp_path / "test.csv", index=False)
    for group in (None, "g"):
        options = DataOptions(target="y", test=str(tmp_path / "test.csv"), group=group)
        found = cross_validated(load_dataset(table, options), 3)
        assert found.split.test.tolist() == list(range(60, 75))
        assert found.split.rows.tolist() == list(range(60))
        assert found.split.how.endswith("; test rows as given")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"order": np.arange(40)}, "leave --folds out: the rows before the test in time are held out"),
        ({"validation_rows": 8}, "one of --folds and --validation must be chosen, however both came"),
        ({"test_share": 0.9}, "--folds must be at most 4, the rows beside the test, however 5 came; lower it"),
    ],
)
def test_what_cannot_be_divided_is_refused(rule, message):
    with pytest.raises(DataError, match=message) as caught:
        cross_validated(dataset(np.tile([0, 1], 20), **rule), 5)
    assert "\n" not in str(caught.value)


def of_size(rows: int, **rule) -> Dataset:
    """A dataset with so many rows beside the test."""
    return dataset(np.arange(rows * 2) % 2, test_share=0.5, **rule)


@pytest.mark.parametrize(
    ("rows", "seconds", "expected"),
    [
        (299, None, (8, 2)),
        (300, None, (8, 1)),
        (1_999, None, (8, 1)),
        (2_000, None, (5, 1)),
        (9_999, None, (5, 1)),
        (10_000, None, (1, 1)),
        (299, 12, (8, 2)),
        (299, 11, (8, 1)),
        (299, 5, (5, 1)),
        (299, 1, (1, 1)),
        (1_000, 60, (8, 1)),
        (5_000, 60, (3, 1)),
        (9_000, 60, (1, 1)),
        (9_000, 300, (5, 1)),
    ],
)
def test_folds_suit_the_rows_and_the_time(rows, seconds, expected):
    assert auto_folds(of_size(rows), seconds) == expected


@given(st.integers(10, 12_000), st.floats(1, 1e5), st.floats(1, 1e5))
@settings(deadline=None, max_examples=30)
def test_more_time_never_means_fewer_folds(rows, one, two):
    table = of_size(rows)
    less, more = (math.prod(auto_folds(table, seconds)) for seconds in sorted((one, two)))
    assert less <= more <= math.prod(auto_folds(table, None))


@pytest.mark.parametrize(
    ("rows", "seconds", "expected"),
    [(250, None, (5, 1)), (5_000, 300, (5, 1)), (5_000, 299, (1, 1)), (5_001, None, (1, 1))],
)
def test_images_and_sounds_are_cross_validated_where_they_are_few_and_there_is_time(rows, seconds, expected):
    for kind in ("image", "audio"):
        found = replace(of_size(rows), schema=Schema((Column("x", kind),)))
        assert auto_folds(found, seconds) == expected


def test_what_has_one_held_out_part_keeps_it():
    rows = np.arange(200) % 2
    assert auto_folds(dataset(rows, order=np.arange(200)), None) == (1, 1)
    assert auto_folds(dataset(rows, validation_rows=9), None) == (1, 1)


def test_few_groups_make_few_folds():
    before = dataset(np.arange(200) % 2, groups=np.arange(200) // 50)
    held = len(np.unique(before.rule.groups[before.split.rows]))
    assert auto_folds(before, None) == (held, 1)
    cross_validated(before, *auto_folds(before, None))


@pytest.mark.parametrize("labels", [True, False])
def test_several_targets_are_cross_validated(labels):
    numbers = np.random.default_rng(0).normal(size=(200, 3))
    table = pd.DataFrame((numbers > 1).astype(int) if labels else numbers, columns=["a", "b", "c"]).assign(
        x=np.arange(200) % 11
    )
    before = load_dataset(table, DataOptions(target=("a", "b", "c")))
    found = cross_validated(before, 4)
    check_folds(found, before, 4, 1)
    assert len(found.task.scales) == (0 if labels else 1)
    if labels:
        positives = [found.targets[validation].sum(axis=0) for _, validation in found.split.cross]
        assert (np.max(positives, axis=0) - np.min(positives, axis=0)).max() <= 4
