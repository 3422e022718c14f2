"""Trains packs in this process: for tests, for debugging, and for modules that only this process knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from autodl.training.device import prepare_device, resolve_device
from autodl.tuning.executors._work import Worker
from autodl.tuning.executors.job import Executor, Message, PackJob


class Inline(Executor):
    """One pack at a time, trained while ``poll`` is called.

    Args:
        device: Where to train.
        stopped: Says whether the search was asked to end, since nobody else can while a pack trains.
    """

    def __init__(self, device: str, stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__(slots=1)
        resolve_device(device)
        self._messages: list[Message] = []
        self._worker = Worker(self._messages.append, stopped)

    def log_to(self, folder: Path) -> None:
        """Nothing to do: what is printed here is the user's own."""

    def submit(self, job: PackJob) -> None:
        """Take a job."""
        self.running[job.id] = job

    def poll(self, seconds: float) -> list[Message]:
        """Train the job that waits, to its end."""
        threads = torch.get_num_threads()  # this process is the user's own
        for number, job in list(self.running.items()):
            prepare_device(torch.device(job.device), job.threads)
            self._worker.work(job)
            torch.set_num_threads(threads)
            self.running.pop(number, None)
        found = self._messages.copy()
        self._messages.clear()
        return found

    def stop(self) -> None:
        """Forget what waits; what trains asks ``stopped`` itself."""
        self.running.clear()

    def close(self) -> None:
        """Forget what waits."""
        self.running.clear()
