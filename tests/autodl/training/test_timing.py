from __future__ import annotations

import pytest

from autodl.training import timing
from autodl.training.timing import median_seconds


class Clock:
    """Time passes only while there is work, as long as the work says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def work(self, *seconds: float):
        left = iter(seconds)

        def step() -> None:
            self.now += next(left)

        return step


def test_it_is_the_median_of_the_runs_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, which warms up, may take as long as it likes, and so may one that was disturbed."""
    assert median_seconds(Clock(monkeypatch).work(100.0, 1.0, 50.0, 3.0, 2.0, 0.5), 5) == 2.0


@pytest.mark.parametrize("repeats", [1, 2, 9])
def test_the_work_is_done_once_more_than_it_is_timed(repeats: int) -> None:
    done: list[int] = []
    assert median_seconds(lambda: done.append(0), repeats) >= 0
    assert len(done) == repeats + 1


def test_what_the_work_raises_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        median_seconds(lambda: 1 / 0)
