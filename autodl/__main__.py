"""``python -m autodl`` and the command ``autodl``."""

from __future__ import annotations

import os
import sys
import time

_IMPORTED = time.time()
_OLDEST = 10.0  # seconds; a process that is older was something else before it became autodl


def process_start() -> float:
    """When this process began, in ``time.time()``'s seconds; where the system does not tell, when this was imported."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123  (pathlib is slow)
            ticks = float(file.read().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
    return time.time() - age if 0 <= age <= _OLDEST else _IMPORTED


def main() -> int:
    """Run the command line of this process."""
    started = process_start()
    from autodl.cli import main as run

    return run(sys.argv[1:], started)


if __name__ == "__main__":
    sys.exit(main())
