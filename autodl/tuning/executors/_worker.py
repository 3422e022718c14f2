"""The program of a worker: ``python -m autodl.tuning.executors._worker``; JSON lines in, JSON lines out.

It reads jobs from its standard input and writes messages to its standard output; whatever else is printed goes to the
log. It ends when its input ends, so that no worker outlives its driver, and leaves Ctrl-C to the driver.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import Any, BinaryIO


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # or what is printed last would be lost
    setup = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = setup["path"]
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    joining: queue.Queue[dict[str, Any]] = queue.Queue()
    stopped = threading.Event()
    threading.Thread(target=_read, args=(jobs, joining, stopped), daemon=True).start()
    try:
        _work(setup, jobs, joining, stopped, out)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # the reading thread holds its input, so that an ordinary end would abort


def _work(
    setup: dict[str, Any],
    jobs: queue.Queue[dict[str, Any]],
    joining: queue.Queue[dict[str, Any]],
    stopped: threading.Event,
    out: BinaryIO,
) -> None:
    from autodl import own
    from autodl.records import TrialConfig
    from autodl.training.device import prepare_device, resolve_device
    from autodl.tuning.executors._work import Worker
    from autodl.tuning.executors.job import Message, PackJob

    def tell(message: Message) -> None:
        out.write(json.dumps(message).encode() + b"\n")

    def extras(job: int) -> list[tuple[int, TrialConfig, int]]:
        found: list[tuple[int, TrialConfig, int]] = []
        while not joining.empty():
            message = joining.get()
            if message["job"] == job:  # or it came when that job was over: the driver sees to it
                found += [(number, TrialConfig.from_json(c), until) for number, c, until in message["members"]]
        return found

    prepare_device(resolve_device(setup["device"]), setup["threads"])
    for reference in setup["own"]:
        own.register(reference)
    worker = Worker(tell, stopped.is_set, extras)
    tell({"event": "ready"})
    while True:
        worker.work(PackJob.from_json(jobs.get()))


def _read(jobs: queue.Queue[dict[str, Any]], joining: queue.Queue[dict[str, Any]], stopped: threading.Event) -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["say"] == "stop":
            stopped.set()
        elif message["say"] == "join":
            joining.put(message)
        elif message["say"] == "log":
            log = os.open(message["path"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
        else:
            jobs.put(message["job"])
    os._exit(0)


if __name__ == "__main__":
    main()
