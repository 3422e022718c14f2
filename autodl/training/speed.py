"""How many members of one structure train fastest as one pack on this device, and in which precision: timed.

A pack of small networks saves the cost of calling operations, one of large networks gains nothing from growing. Where
one turns into the other hangs on the processor, its caches and who else uses them, so real steps are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from autodl.records import TrialConfig
from autodl.training.data import TrainingData
from autodl.training.device import bf16_pays, is_out_of_memory
from autodl.training.loop import Training

SIZES = (1, 4, 16, 64)
GAIN = 1.05  # a larger pack must train members this much faster, or it only takes memory
BF16_GAIN = 1.1  # bfloat16 must, as it rounds
SIZE_STEP = 2  # how much longer the next size takes: less than it is larger, as packs save the cost of calls
PATIENCE = 2  # sizes in a row that may bring nothing: bfloat16 pays later than float32 does
SHORTEST = 0.01  # seconds that are timed at once
ROUNDS = 3  # of which the fastest counts: the others were disturbed


@dataclass(frozen=True)
class Timing:
    """What was measured of one pack.

    Attributes:
        members: Rows of the pack: trials times folds.
        bf16: Whether products were computed in bfloat16.
        seconds_per_member_step: Time of a step over the members.
    """

    members: int
    bf16: bool
    seconds_per_member_step: float


@dataclass(frozen=True)
class Speed:
    """The fastest way to train a structure.

    Attributes:
        pack_size: Members, trials times folds, that a pack should hold.
        bf16: Whether products should be computed in bfloat16.
        seconds_per_member_step: Time of a step over the members.
        table: All that was measured, in order.
    """

    pack_size: int
    bf16: bool
    seconds_per_member_step: float
    table: tuple[Timing, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data, for the run's folder."""
        return asdict(self)


def fastest(
    config: TrialConfig,
    data: TrainingData,
    device: torch.device,
    *,
    sizes: Sequence[int] = SIZES,
    seconds: float = 0.8,
) -> Speed:
    """Time steps of ever larger packs of a structure, each also in bfloat16 where the device has it.

    Args:
        config: A trial of the structure; all trials of a pack are this one with seeds of their own.
        data: What they train on.
        device: Where.
        sizes: Members of a pack to try, rising; trials have all their folds in it, so that it may hold a few more.
        seconds: No pack is tried that would not be timed by then, counted from when a first step is done.

    Raises:
        RuntimeError: Not even the smallest pack fits into memory.
    """
    precisions = (False, True) if bf16_pays(device.type) else (False,)
    for bf16 in precisions:
        first = Training([config], data, device, bf16=bf16)
        _steps(first, 1)  # what is loaded and set up only once
    folds = len(first.pack)
    clock = _clock(device)
    end = clock() + seconds
    table: list[list[Timing]] = []
    for trials in dict.fromkeys(max(1, size // folds) for size in sizes):
        started = clock()
        configs = [replace(config, seed=config.seed + index) for index in range(trials)]
        try:
            table.append([_time(Training(configs, data, device, bf16=bf16)) for bf16 in precisions])
        except Exception as error:
            if not is_out_of_memory(error) or not table:
                raise
            break
        now = clock()
        best = _best([_best(row, BF16_GAIN) for row in table], GAIN)
        idle = sum(row[0].members > best.members for row in table)
        if idle >= PATIENCE or now + SIZE_STEP * (now - started) > end:
            break
    return Speed(best.members, best.bf16, best.seconds_per_member_step, tuple(each for row in table for each in row))


def _best(timings: Sequence[Timing], gain: float) -> Timing:
    """The first that no later one beats clearly."""
    best = timings[0]
    for timing in timings[1:]:
        if timing.seconds_per_member_step * gain < best.seconds_per_member_step:
            best = timing
    return best


def _time(training: Training) -> Timing:
    """Time the steps of a pack: the fastest of some rounds, after a first step that sets things up."""
    _steps(training, 1)
    once = _steps(training, 1)
    steps = max(1, round(SHORTEST / once))
    step = min(once, *(_steps(training, steps) for _ in range(1 if once > SHORTEST else ROUNDS)))
    return Timing(len(training.pack), training.bf16, step / len(training.pack))


def _steps(training: Training, count: int) -> float:
    """Train so many steps, at most one epoch of them; return the seconds that each took."""
    count = min(count, training.steps)
    begun = 0

    def enough() -> bool:
        nonlocal begun
        begun += 1
        return begun > count

    clock = _clock(training.device)
    start = clock()
    training.train_epoch(enough)
    if training.device.type == "cuda":
        torch.cuda.synchronize(training.device)
    return (clock() - start) / count


def _clock(device: torch.device) -> Callable[[], float]:
    """What tells the time: on one thread of a CPU a clock that stands still while other processes run."""
    return time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
