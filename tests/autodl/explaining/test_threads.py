from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from autodl.explaining.threads import SLOW, fastest_threads


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("best", [1, 2])
def test_the_faster_number_is_taken_and_left_again(best: int) -> None:
    def work() -> None:
        time.sleep(0.001 if torch.get_num_threads() == best else 0.01)

    with fastest_threads(work):
        assert torch.get_num_threads() == best
    assert torch.get_num_threads() == 2


def test_an_error_leaves_the_threads_as_they_were() -> None:
    def work() -> None:
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), fastest_threads(work):
        pass
    assert torch.get_num_threads() == 2


def test_slow_work_is_done_once_for_each_number() -> None:
    done = []

    def work() -> None:
        done.append(torch.get_num_threads())
        time.sleep(SLOW * 1.1)

    with fastest_threads(work):
        pass
    assert done == [2, 1]
