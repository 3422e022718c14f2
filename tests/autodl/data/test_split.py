from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data import split as split_module
from autodl.data.split import SplitRule, split_rows, strata_of
from autodl.errors import DataError
from autodl.records import Split

SHARES = st.floats(0.05, 0.45)
CLASSES = st.lists(st.integers(0, 4), min_size=10, max_size=120).map(np.array)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=120).map(np.array)


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def check_partition(split: Split, rows: int) -> None:
    together = np.concatenate(parts(split))
    assert sorted(together.tolist()) == list(range(rows))
    assert all(len(part) >= 1 for part in parts(split))
    assert all(np.all(np.diff(part) > 0) for part in parts(split))


@given(CLASSES | NUMBERS, SHARES, SHARES, st.integers(0, 2**32))
def test_parts_are_a_partition_of_the_asked_sizes_and_the_same_for_the_same_seed(targets, test, validation, seed):
    rule = SplitRule(test, validation, seed)
    split = split_rows(targets, rule)
    check_partition(split, len(targets))
    assert len(split.test) == max(1, round(test * len(targets)))
    assert len(split.validation) == max(1, round(validation * (len(targets) - len(split.test))))
    for part, again in zip(parts(split), parts(split_rows(targets, rule)), strict=True):
        np.testing.assert_array_equal(part, again)


@given(CLASSES, st.integers(0, 100))
def test_every_class_is_learnt(targets, seed):
    split = split_rows(targets, SplitRule(seed=seed))
    assert set(targets[split.train]) == set(targets)


@settings(max_examples=30)
@given(st.lists(st.integers(8, 60), min_size=2, max_size=5), st.integers(0, 100))
def test_classes_keep_their_share_in_every_part(sizes, seed):
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    split = split_rows(targets, SplitRule(0.25, 0.25, seed))
    share = len(split.test) / len(targets)
    for label, size in enumerate(sizes):
        assert abs(np.sum(targets[split.test] == label) - share * size) <= 2
    assert set(targets[split.test]) == set(targets[split.validation]) == set(targets)


def test_quantiles_of_numbers_keep_their_share():
    targets = np.random.default_rng(0).lognormal(size=1000)
    split = split_rows(targets, SplitRule())
    for part in parts(split):
        assert np.mean(targets[part] > np.quantile(targets, 0.9)) == pytest.approx(0.1, abs=0.02)


def test_another_seed_is_another_split():
    targets = np.tile([0, 1], 50)
    assert split_rows(targets, SplitRule(seed=0)).test.tolist() != split_rows(targets, SplitRule(seed=1)).test.tolist()


def test_rare_classes_do_not_crash():
    """One row is trained on, two are trained on and validated, three are in every part."""
    targets = np.array([0] * 40 + [1] + [2] * 2 + [3] * 3)
    for seed in range(20):
        split = split_rows(targets, SplitRule(seed=seed))
        assert [np.sum(targets[part] == 1) for part in parts(split)] == [1, 0, 0]
        assert [np.sum(targets[part] == 2) for part in parts(split)] == [1, 1, 0]
        assert [np.sum(targets[part] == 3) for part in parts(split)] == [1, 1, 1]


def test_nothing_but_rare_classes_is_split_too():
    check_partition(split_rows(np.arange(12), SplitRule()), 12)
    check_partition(split_rows(np.repeat(np.arange(6), 2), SplitRule()), 12)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=10, max_size=100), st.integers(0, 100), SHARES
)
def test_groups_stay_whole(rows, seed, share):
    groups, targets = (np.array(column) for column in zip(*rows, strict=True))
    rule = SplitRule(test_share=share, seed=seed, groups=groups)
    if len(set(groups.tolist())) < 3:
        with pytest.raises(DataError, match="must have at least"):
            split_rows(targets, rule)
        return
    split = split_rows(targets, rule)
    check_partition(split, len(rows))
    held = [set(groups[part].tolist()) for part in parts(split)]
    assert sum(map(len, held)) == len(set(groups.tolist()))


def test_groups_come_near_the_asked_sizes_and_keep_class_shares():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 2000)
    targets = (rng.random(2000) < 0.3).astype(np.int64)
    split = split_rows(targets, SplitRule(groups=groups))
    assert len(split.test) == pytest.approx(400, abs=40)
    assert len(split.validation) == pytest.approx(320, abs=40)
    assert targets[split.test].mean() == pytest.approx(targets.mean(), abs=0.05)


def test_many_groups_and_classes_need_little_memory(monkeypatch):
    monkeypatch.setattr(split_module, "_TABLE_LIMIT", 100)
    groups = np.arange(300) // 3
    split = split_rows(np.arange(300) % 10, SplitRule(groups=groups))
    check_partition(split, 300)
    assert len(split.test) == pytest.approx(60, abs=3)


@given(st.lists(st.floats(-10, 10) | st.just(-np.inf), min_size=10, max_size=80), SHARES, SHARES)
def test_time_runs_from_training_to_test(order, test, validation):
    keys = np.array(order)
    split = split_rows(np.zeros(len(keys), dtype=np.int64), SplitRule(test, validation, order=keys))
    check_partition(split, len(keys))
    assert keys[split.train].max() <= keys[split.validation].min()
    assert keys[split.validation].max() <= keys[split.test].min()


@given(CLASSES, st.integers(0, 9), st.integers(0, 9))
def test_given_rows_are_exactly_their_parts(targets, validation, test):
    split = split_rows(targets, SplitRule(validation_rows=validation, test_rows=test))
    rows = len(targets)
    check_partition(split, rows + validation + test)
    if validation:
        assert split.validation.tolist() == list(range(rows, rows + validation))
    if test:
        assert split.test.tolist() == list(range(rows + validation, rows + validation + test))
    if validation and test:
        assert split.train.tolist() == list(range(rows))


def test_a_large_table_has_a_bounded_validation_part():
    start = time.perf_counter()
    split = split_rows(np.random.default_rng(0).normal(size=500_000), SplitRule())
    assert time.perf_counter() - start < 10
    assert [len(part) for part in parts(split)] == [380_000, 20_000, 100_000]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (SplitRule(seed=7), "12 training, 3 validation, 4 test rows: stratified by class, seed 7"),
        (SplitRule(order=np.arange(19)), "the last rows in time for the test"),
        (SplitRule(groups=np.arange(19)), "whole groups, drawn with seed 0"),
        (SplitRule(test_rows=5), "15 training, 4 validation, 5 test rows: .*; test rows as given"),
    ],
)
def test_the_rule_is_told_in_words(rule, words):
    assert re.search(words, split_rows(np.zeros(19, dtype=np.int64), rule).how)


def test_strata_of_numbers_are_even_bins():
    strata = strata_of(np.random.default_rng(0).permutation(100).astype(float))
    assert np.bincount(strata).tolist() == [5] * 20
    assert strata_of(np.array([3, 1, 3])).tolist() == [1, 0, 1]


def test_strata_of_labels_are_their_combinations_and_the_rare_ones_are_one():
    labels = np.array([[0, 1], [1, 1], [0, 1], [0, 0]], dtype=float)
    assert strata_of(labels).tolist() == [0, 2, 0, 1]
    many = np.array([[row >> bit & 1 for bit in range(6)] for row in range(64)], dtype=float)
    strata = strata_of(np.concatenate([many, many[:5]]))
    assert np.bincount(strata).tolist() == [2] * 5 + [1] * 14 + [50 - 14 + 9]
    assert "stratified by combination of labels" in split_rows(many, SplitRule()).how


def test_strata_of_several_numbers_are_those_of_the_first():
    numbers = np.random.default_rng(0).normal(size=(100, 2))
    np.testing.assert_array_equal(strata_of(numbers), strata_of(numbers[:, 0]))
    check_partition(split_rows(numbers, SplitRule()), 100)
    assert "stratified by target quantile" in split_rows(numbers, SplitRule()).how
