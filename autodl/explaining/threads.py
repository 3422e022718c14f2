"""As many threads as are fastest just now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

TIMES = 3
SLOW = 0.2  # seconds


@contextmanager
def fastest_threads(work: Callable[[], object]) -> Iterator[None]:
    """All threads inside, or one where that is faster: several wait for each other where other programs keep a core.

    Args:
        work: Something short of the kind that is to come.
    """
    before = torch.get_num_threads()
    try:
        if before > 1:
            many = _seconds(work)
            torch.set_num_threads(1)
            if _seconds(work) > many:
                torch.set_num_threads(before)
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(work: Callable[[], object]) -> float:
    """The median of a few times, after one to warm up; of slow work the first time tells enough."""
    started = time.perf_counter()
    work()
    first = time.perf_counter() - started
    if first > SLOW:
        return first
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[TIMES // 2]
