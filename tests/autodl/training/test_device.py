from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

from autodl.errors import RunError
from autodl.training.device import bf16_pays, is_out_of_memory, prepare_device, resolve_device


def test_auto_is_a_device_of_this_machine():
    torch.empty(1, device=resolve_device("auto"))


@pytest.mark.parametrize("name", ["quantum", "cuda:97", ""])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(RunError, match="--device must name a device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_bf16_is_decided_by_a_measurement():
    assert isinstance(bf16_pays("cpu"), bool)
    assert bf16_pays("mps") is False


def test_threads_are_set():
    before = torch.get_num_threads()
    prepare_device(torch.device("cpu"), 1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_memory_that_a_step_frees_stays_at_hand():
    """A pack's worth of memory, freed and taken again and again, is not cleared page by page each time."""
    code = """
import resource, torch
from autodl.training.device import prepare_device
prepare_device(torch.device("cpu"), 1)
def steps(count):
    for _ in range(count):
        blocks = [torch.ones(3_000_000) for _ in range(8)]
        while blocks:
            blocks.pop()
steps(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps(4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 23_000, "what four steps take is 94,000 pages"
