from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.space import Choice
from autodl.training.schedules import SCHEDULES
from autodl.training.settings import TRAINING_SPACE, training_space, usual_batch_size

KNOBS = ("batch_size", "schedule", "warmup", "clip", "ema", "mixup", "features")
KNOBS = (*KNOBS, "auxiliary", "input_dropout", "balance", "alignment", "length", "patience")


def test_the_loop_has_these_knobs_each_explained_and_with_a_default_it_allows() -> None:
    assert tuple(TRAINING_SPACE) == KNOBS
    for name, dimension in TRAINING_SPACE.items():
        assert dimension.doc, name
        assert dimension.allows(dimension.center()), name


def test_schedules_are_those_that_exist() -> None:
    schedule = TRAINING_SPACE["schedule"]
    assert isinstance(schedule, Choice)
    assert set(schedule.options) == set(SCHEDULES)


def test_only_the_batch_size_and_the_length_must_be_shared_by_a_pack() -> None:
    assert TRAINING_SPACE.structural() == {"batch_size", "length"}
    assert training_space(500).structural() == {"batch_size", "length"}


@pytest.mark.parametrize(
    ("rows", "size"),
    [(1, 32), (2_799, 32), (2_800, 64), (4_500, 128), (6_400, 256), (31_999, 256), (32_000, 512), (10**7, 512)],
)
def test_batch_size_by_rows(rows: int, size: int) -> None:
    assert usual_batch_size(rows) == size
    assert training_space(rows)["batch_size"].center() == size


@given(st.integers(1, 10**7))
def test_every_number_of_rows_leaves_its_usual_batch_size_and_nothing_that_may_not_be_asked(rows: int) -> None:
    batch_size = training_space(rows)["batch_size"]
    assert isinstance(batch_size, Choice)
    assert usual_batch_size(rows) in batch_size.options
    assert len(set(batch_size.options)) == len(batch_size.options)
    assert all(TRAINING_SPACE["batch_size"].allows(size) for size in batch_size.options)


def options(rows: int) -> tuple[object, ...]:
    batch_size = training_space(rows)["batch_size"]
    assert isinstance(batch_size, Choice)
    return batch_size.options


def test_options_of_a_small_a_middling_and_a_large_table() -> None:
    assert options(455) == (32, 64, 128, "full")
    assert options(5_000) == (64, 128, 256, 512)
    assert options(60_000) == (256, 512, 1024)


def test_plain_gradient_descent_can_be_asked_for_at_any_size() -> None:
    assert "full" in options(1_000)
    assert "full" not in options(1_001)
    assert TRAINING_SPACE["batch_size"].allows("full")


@pytest.mark.parametrize("name", ["clip", "ema", "mixup"])
def test_what_can_be_switched_off_is_switched_off_by_an_option_that_is_exactly_zero(name: str) -> None:
    dimension = TRAINING_SPACE[name]
    assert isinstance(dimension, Choice)
    assert 0.0 in dimension.options


def test_warm_up_counts_where_the_schedule_has_no_rise_of_its_own() -> None:
    assert TRAINING_SPACE["warmup"].active({"schedule": "cosine"})
    assert not TRAINING_SPACE["warmup"].active({"schedule": "one_cycle"})


def test_the_other_knobs_do_not_depend_on_rows() -> None:
    small, large = training_space(100), training_space(1_000_000)
    assert [name for name in KNOBS if small[name] != large[name]] == ["batch_size"]
