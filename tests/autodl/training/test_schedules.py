from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodl.training.schedules import SCHEDULES, schedule_factor, schedule_table

CONSTANT, COSINE, FLAT, ONE_CYCLE, COSLOG4 = map(
    SCHEDULES.index, ("constant", "cosine", "flat_cosine", "one_cycle", "coslog4")
)
START, RISE, END = 1 / 25, 0.3, 1 / 25e4
SHARES = st.floats(0, 1)


def factor(kind, progress, warmup=0.0):
    columns = (torch.tensor([[float(value)]], dtype=torch.float64) for value in (progress, warmup))
    return schedule_factor(torch.tensor([[kind]]), *columns).item()


def torch_factors(scheduler, steps, **settings):
    """The factors that torch's scheduler puts on a learning rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = scheduler(optimizer, **settings)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule.step()
    return factors


def test_constant_is_one():
    assert [factor(CONSTANT, progress) for progress in (0, 0.3, 1)] == [1, 1, 1]


def test_cosine_matches_torch():
    expected = torch_factors(torch.optim.lr_scheduler.CosineAnnealingLR, 41, T_max=40)
    assert [factor(COSINE, step / 40) for step in range(41)] == pytest.approx(expected, abs=1e-12)


def test_one_cycle_matches_torch():
    """Torch counts steps so that the peak is a step early: both halves are compared each on its own scale."""
    steps, top = 50, int(RISE * 50) - 1
    expected = torch_factors(torch.optim.lr_scheduler.OneCycleLR, steps, max_lr=1.0, total_steps=steps, pct_start=RISE)
    rising = [factor(ONE_CYCLE, RISE * step / top) for step in range(top)]
    falling = [factor(ONE_CYCLE, RISE + (1 - RISE) * (step - top) / (steps - 1 - top)) for step in range(top, steps)]
    assert rising + falling == pytest.approx(expected, abs=1e-9)


def test_one_cycle_by_hand():
    assert factor(ONE_CYCLE, 0) == pytest.approx(START) == pytest.approx(1 / 25)
    assert factor(ONE_CYCLE, RISE) == pytest.approx(1)
    assert factor(ONE_CYCLE, 0.15) == pytest.approx((1 + START) / 2)
    assert factor(ONE_CYCLE, 1) == pytest.approx(END)


def test_flat_cosine_is_level_then_falls_along_half_a_wave():
    """flat_cos of arXiv 2407.04491: 1 in the first half, then (1 + cos(π (2t - 1))) / 2."""
    assert [factor(FLAT, t) for t in (0, 0.25, 0.5)] == [1, 1, 1]
    for t in (0.6, 0.75, 1.0):
        assert factor(FLAT, t) == pytest.approx((1 + math.cos(math.pi * (2 * t - 1))) / 2, abs=1e-12)


def test_coslog4_has_four_waves_each_twice_as_long():
    """arXiv 2407.04491: zeros at 0, 1/15, 3/15, 7/15 and 1; ones where log2(1 + 15t) is half of an odd number."""
    assert [factor(COSLOG4, t / 15) for t in (0, 1, 3, 7, 15)] == pytest.approx([0] * 5, abs=1e-12)
    assert [factor(COSLOG4, (2 ** (wave + 0.5) - 1) / 15) for wave in range(4)] == pytest.approx([1] * 4, abs=1e-12)


def test_warmup_matches_torch_then_the_schedule_runs_over_what_is_left():
    warm, steps = 10, 50
    warmup = torch_factors(torch.optim.lr_scheduler.LinearLR, warm, start_factor=1e-12, total_iters=warm)
    cosine = torch_factors(torch.optim.lr_scheduler.CosineAnnealingLR, steps - warm, T_max=steps - warm)
    ours = [factor(COSINE, step / steps, warm / steps) for step in range(steps)]
    assert ours == pytest.approx(warmup + cosine, abs=1e-9)


@given(kind=st.sampled_from(range(len(SCHEDULES))), progress=SHARES, warmup=st.floats(0, 0.9))
def test_stays_between_zero_and_one(kind, progress, warmup):
    assert -1e-12 <= factor(kind, progress, warmup) <= 1 + 1e-12


@given(kind=st.sampled_from(range(len(SCHEDULES))), warmup=st.floats(0.1, 0.9))
def test_has_no_jump_where_the_warmup_ends(kind, warmup):
    assert math.isclose(factor(kind, warmup * (1 - 1e-9), warmup), factor(kind, warmup, warmup), abs_tol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pack_has_a_schedule_a_member(dtype):
    kinds = torch.tensor([[CONSTANT], [COSINE], [ONE_CYCLE], [COSINE], [COSLOG4], [FLAT]])
    values = ([0.2, 0.4, 0.6, 0.0, 0.3, 0.9], [0.5, 0, 0.1, 0.2, 0.0, 0.05])
    progress, warmup = (torch.tensor(v, dtype=dtype).unsqueeze(1) for v in values)
    ours = schedule_factor(kinds, progress, warmup)
    alone = [factor(*row) for row in zip(*(c.flatten().tolist() for c in (kinds, progress, warmup)), strict=True)]
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, torch.tensor(alone, dtype=dtype).unsqueeze(1))


def test_a_table_holds_the_factor_of_every_step():
    kinds, warmup = torch.tensor([[CONSTANT], [COSINE], [ONE_CYCLE]]), torch.tensor([[0.1], [0.0], [0.2]])
    progress = torch.arange(20) / 20
    table = schedule_table(kinds, progress, warmup)
    assert table.shape == (20, 3, 1)
    for step, now in enumerate(progress):
        torch.testing.assert_close(table[step], schedule_factor(kinds, now.expand(3, 1), warmup))
