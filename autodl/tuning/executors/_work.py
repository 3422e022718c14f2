"""Training a job, wherever it is: the same in this process and in a worker."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from autodl import registry
from autodl.records import TrialConfig
from autodl.training.data import TrainingData, training_data
from autodl.training.device import is_out_of_memory
from autodl.training.loop import Limits, Training
from autodl.training.members import Member
from autodl.tuning.executors.job import Message, PackJob
from autodl.tuning.run_folder import RunFolder, write_text
from autodl.tuning.tensors import TARGETS, read_input, read_targets, save_tensors

CHECKPOINT_SECONDS = 10.0
TELL_SECONDS = 0.25


@dataclass
class Worker:
    """Trains jobs one after another and keeps what they share: the rows, on the device.

    Attributes:
        tell: Where messages go.
        stopped: Says whether the driver wants the running job to stop.
    """

    tell: Callable[[Message], None]
    stopped: Callable[[], bool]
    _data: dict[str, TrainingData] = field(default_factory=dict)

    def work(self, job: PackJob) -> None:
        """Train all members of a job, as few packs as their checkpoints allow."""
        run = RunFolder(Path(job.folder))
        found = {number: read_checkpoint(run, number) for number in job.members}
        epochs = {number: int(each["epoch"]) if each else 0 for number, each in found.items()}
        for epoch in sorted(set(epochs.values())):
            group = {n: config for n, config in job.members.items() if epochs[n] == epoch}
            self._train(job, run, group, {n: found[n] for n in group if found[n]}, epoch)
        self.tell({"event": "done", "job": job.id})

    def _train(
        self,
        job: PackJob,
        run: RunFolder,
        group: Mapping[int, TrialConfig],
        checkpoints: Mapping[int, Mapping[str, Tensor]],
        epoch: int,
    ) -> None:
        """Train one pack; if it fails, its halves, so that the guilty member alone is lost."""
        try:
            training = self._training(job, run, list(group.values()))
            if epoch:
                training.resume([dict(checkpoints[number]) for number in group], epoch)
            listener = _Listener(self, run, group)
            members = training.run(Limits(job.until, self._stop(job)), listener)
            numbers = {config.seed: number for number, config in group.items()}
            for member in members:
                self._report(run, numbers[member.config.seed], member, member.epoch >= job.until)
        except Exception as error:
            if len(group) == 1:
                self._fail(run, next(iter(group)), error)
                return
            if is_out_of_memory(error):
                self.tell({"event": "said", "text": f"a pack of {len(group)} did not fit into memory and was halved"})
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            numbers_ = list(group)
            for half in (numbers_[: len(group) // 2], numbers_[len(group) // 2 :]):
                self._train(job, run, {n: group[n] for n in half}, checkpoints, epoch)

    def _training(self, job: PackJob, run: RunFolder, configs: list[TrialConfig]) -> Training:
        device = torch.device(job.device)
        convolves = any(registry.encoders.load(part.name).convolutional for part in configs[0].encoders.values())
        return Training(configs, self._load(job, run, device), device, bf16=job.bf16 and convolves)

    def _load(self, job: PackJob, run: RunFolder, device: torch.device) -> TrainingData:
        key = json.dumps(job.inputs, sort_keys=True)
        if key not in self._data:
            self._data.clear()  # one set of rows in memory at a time; files are mapped, so that reading again is cheap
            targets, task, train = read_targets(run.data(TARGETS))
            read = {name: read_input(run.data(file)) for name, file in job.inputs.items()}
            parts = (np.arange(train), np.arange(train, len(targets)))
            stored = {name: stored for name, (_, stored) in read.items()}
            specs = {name: spec for name, (spec, _) in read.items()}
            self._data[key] = training_data(stored, specs, targets, task, parts, device=device)
        return self._data[key]

    def _stop(self, job: PackJob) -> Callable[[], bool]:
        deadline = job.deadline
        return lambda: self.stopped() or (deadline is not None and time.time() > deadline)

    def _report(self, run: RunFolder, number: int, member: Member, whole: bool) -> None:
        """Write what a trial leaves behind, then say so."""
        folder = run.trial(number)
        folder.mkdir(exist_ok=True)
        if not (folder / "config.json").exists():  # it never changes, however many rungs a trial passes
            write_text(folder / "config.json", json.dumps(member.config.to_json(), indent=1) + "\n")
        if member.predictions is not None:
            save_tensors(member.weights, folder / "weights.safetensors")
            save_tensors({"predictions": member.predictions}, folder / "predictions.safetensors")
        if member.ended:
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        elif whole:
            write_checkpoint(run, number, member)
        message = {name: getattr(member, name) for name in ("score", "epoch", "best_epoch", "n_parameters", "error")}
        self.tell({"event": "trial", "number": number, "ended": member.ended, "seconds": member.seconds, **message})

    def _fail(self, run: RunFolder, number: int, error: Exception) -> None:
        reason = "out of memory, alone in its pack" if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
        run.trial(number).mkdir(exist_ok=True)
        write_text(run.trial(number) / "error.txt", traceback.format_exc())
        nothing = {"score": None, "epoch": 0, "best_epoch": 0, "n_parameters": 0, "seconds": 0.0}
        self.tell({"event": "trial", "number": number, "ended": True, **nothing, "error": reason.split("\n")[0][:300]})


class _Listener:
    """Tells of epochs a few times a second, and writes checkpoints of long trainings."""

    def __init__(self, worker: Worker, run: RunFolder, group: Mapping[int, TrialConfig]) -> None:
        self.worker, self.run = worker, run
        self.numbers = {config.seed: number for number, config in group.items()}
        self.told, self.written = 0.0, time.monotonic()

    def __call__(self, training: Training) -> None:
        now = time.monotonic()
        members = training.members
        numbers = [self.numbers[config.seed] for config in members.configs]
        if now - self.told > TELL_SECONDS:
            self.told = now
            scores = list(members.scores)
            self.worker.tell({"event": "epoch", "numbers": numbers, "epoch": training.epoch, "scores": scores})
        if now - self.written > CHECKPOINT_SECONDS and training.whole:
            self.written = now
            for index, number in enumerate(numbers):
                write_checkpoint(self.run, number, members.leave(training.pack, index, training.epoch))


def write_checkpoint(run: RunFolder, number: int, member: Member) -> None:
    """Write what a trial goes on from."""
    if member.checkpoint:
        run.trial(number).mkdir(exist_ok=True)
        tensors = {**member.checkpoint, "epoch": torch.tensor(member.epoch)}
        save_tensors(tensors, run.trial(number) / "checkpoint.safetensors")


def read_checkpoint(run: RunFolder, number: int) -> dict[str, Tensor]:
    """Read it; empty where there is none, or a damaged one: then the trial starts anew."""
    path = run.trial(number) / "checkpoint.safetensors"
    try:
        return load_file(path) if path.exists() else {}
    except Exception:  # a damaged file costs a repetition, never the trial
        return {}
