"""Trains packs in workers of this machine: processes that live on from job to job.

A worker that dies is seen at once (its pipe ends), and a new one takes its place; the driver decides what becomes of
its job. Workers are plain programs that speak JSON lines, not forks of this one: a script needs no ``__main__`` guard.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodl.errors import RunError
from autodl.tuning.executors.job import Executor, Message, PackJob


class Local(Executor):
    """A pool of workers.

    Args:
        workers: How many.
        device: Where they train, all of them.
        threads: Threads of each.
        own: References to modules of the user's own that workers must know.
    """

    def __init__(self, workers: int, device: str, threads: int, own: Sequence[str] = ()) -> None:
        super().__init__(slots=workers)
        self._setup: dict[str, Any] = {"path": sys.path, "device": device, "threads": threads, "own": list(own)}
        self._logs: Path | None = None
        self._selector = selectors.DefaultSelector()
        self._workers = [_Process(self, index) for index in range(workers)]

    def log_to(self, folder: Path) -> None:
        """Keep what workers print from now on in files; until then each keeps it to itself."""
        self._logs = folder
        for worker in self._workers:
            worker.log_to(folder)

    def submit(self, job: PackJob) -> None:
        """Give a job to a worker that has none."""
        self.running[job.id] = job
        next(worker for worker in self._workers if worker.job is None).start(job)

    def join(self, job: PackJob, until: int, numbers: Sequence[int]) -> None:
        """Send trials to the worker that has the job."""
        worker = next((each for each in self._workers if each.job is not None and each.job.id == job.id), None)
        if worker is None:  # it is done already: its last message, which says so, has not been read yet
            return
        self.running[job.id] = worker.job = job
        members = [[number, job.members[number].to_json(), until] for number in numbers]
        worker.say({"say": "join", "job": job.id, "members": members})

    def poll(self, seconds: float) -> list[Message]:
        """Return what workers said, waiting at most so long for the first word."""
        found: list[Message] = []
        end = time.monotonic() + seconds
        while not found:
            for key, _ in self._selector.select(max(0.0, end - time.monotonic())):
                found += self._heard(key.data)
            if time.monotonic() >= end:
                break
        return found

    def stop(self) -> None:
        """Ask all running jobs to stop inside their epoch."""
        for worker in self._workers:
            worker.say({"say": "stop"})

    def close(self) -> None:
        """End all workers at once; a second time does nothing."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._selector.close()

    def _heard(self, worker: _Process) -> list[Message]:
        messages, alive = worker.read()
        for message in messages:
            if message["event"] == "done":
                worker.job = None
                self.running.pop(message["job"], None)
        if not alive:
            messages.append(self._replace(worker))
        return [message for message in messages if message["event"] not in ("ready", "none")]

    def _replace(self, worker: _Process) -> Message:
        code = worker.end()
        index = self._workers.index(worker)
        job = worker.job
        self._workers[index] = _Process(self, index)
        if job is None:
            if not worker.was_ready:
                words = worker.last_words
                raise RunError(f"workers must start, however one ended at once ({_reason(code)}) and said: {words}")
            return {"event": "said", "text": f"an idle worker ended ({_reason(code)}) and was replaced"}
        self.running.pop(job.id, None)
        return {"event": "lost", "job": job, "reason": _reason(code)}


class _Process:
    """One worker and its pipes."""

    def __init__(self, pool: Local, index: int) -> None:
        self.pool = pool
        self.job: PackJob | None = None
        self.was_ready = False
        self.last_words = ""
        self._rest = b""
        self._index = index
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (closed in end)
        threads = str(pool._setup["threads"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autodl.tuning.executors._worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        assert self.process.stdout is not None, "internal error: a worker without a pipe"
        os.set_blocking(self.process.stdout.fileno(), False)
        pool._selector.register(self.process.stdout, selectors.EVENT_READ, self)
        self.say(pool._setup)
        if pool._logs is not None:
            self.log_to(pool._logs)

    def log_to(self, folder: Path) -> None:
        self.say({"say": "log", "path": str(folder / f"worker-{self._index}.log")})

    def start(self, job: PackJob) -> None:
        self.job = job
        self.say({"say": "job", "job": job.to_json()})

    def say(self, message: Message) -> None:
        assert self.process.stdin is not None, "internal error: a worker without a pipe"
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: its output ends too, which is where that is dealt with

    def read(self) -> tuple[list[Message], bool]:
        """Whole lines so far, and whether more can come."""
        assert self.process.stdout is not None, "internal error: a worker without a pipe"
        chunk = os.read(self.process.stdout.fileno(), 1 << 20)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        messages = [json.loads(line) for line in lines]
        self.was_ready = self.was_ready or any(message["event"] == "ready" for message in messages)
        return messages, bool(chunk)

    def end(self) -> int:
        """Kill it if it lives; return its exit code."""
        assert self.process.stdout is not None, "internal error: a worker without a pipe"
        if self.process.stdout.fileno() in self.pool._selector.get_map():
            self.pool._selector.unregister(self.process.stdout)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0 if self.was_ready else 1)  # one that fails to start ends by itself, with its reason
        self.process.kill()
        code = self.process.wait()
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        self.last_words = lines[-1] if lines else "nothing"
        self._words.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code


def _reason(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
