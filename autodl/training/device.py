"""Which device trains, in which precision, and what counts as out of memory."""

from __future__ import annotations

import ctypes
import sys
import time
from functools import cache

import torch

from autodl.errors import RunError

BF16_GAIN = 1.5  # a processor must be this much faster in bfloat16 before training uses it
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # as malloc.h of glibc numbers them


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU where there is one.

    Raises:
        RunError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise RunError(f"--device must name a device of this machine, however '{name}' is not one: {reason}") from None
    return device


def prepare_device(device: torch.device, threads: int) -> None:
    """Set the number of threads, keep freed memory at hand, and use tf32 products where the device has them."""
    torch.set_num_threads(threads)
    if sys.platform == "linux":
        _keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


@cache
def _keep_freed_memory() -> None:
    """Let malloc neither give memory back to the system nor map blocks of a few megabytes one by one.

    Each step frees what the next one needs again; pages that come back from the system are cleared and mapped anew,
    which takes up to a third of a step of convolutions.
    """
    malloc_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, other C libraries may not
    if malloc_option is not None:
        malloc_option(_M_MMAP_THRESHOLD, 2**25)  # the largest that it takes: whole tables still go back
        malloc_option(_M_TRIM_THRESHOLD, 2**31 - 1)


@cache
def bf16_pays(device_type: str) -> bool:
    """Whether products in bfloat16 are clearly faster here than in float32: timed, never assumed."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    full, half = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return full / half > BF16_GAIN


def _product_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(256, 256, dtype=dtype), torch.ones(256, 256, dtype=dtype)
    left @ right
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the machine has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))
