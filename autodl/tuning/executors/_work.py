"""Training a job, wherever it is: the same in this process and in a worker."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from autodl.network import Network
from autodl.records import TrialConfig
from autodl.training.data import TrainingData
from autodl.training.device import is_out_of_memory
from autodl.training.loop import Limits, Training
from autodl.training.members import Member
from autodl.training.timing import median_seconds
from autodl.tuning.executors.job import Message, PackJob
from autodl.tuning.run_folder import RunFolder, write_text
from autodl.tuning.tensors import TARGETS, read_goals, rows_in_memory, save_tensors

CHECKPOINT_SECONDS = 10.0
TELL_SECONDS = 0.25


@dataclass
class Worker:
    """Trains jobs one after another and keeps what they share: the rows, on the device.

    Attributes:
        tell: Where messages go.
        stopped: Says whether the driver wants the running job to stop.
        extras: The trials that came for a running job since they were last asked for: number, recipe, epoch to train
            to; None where nobody can come.
    """

    tell: Callable[[Message], None]
    stopped: Callable[[], bool]
    extras: Callable[[int], Sequence[tuple[int, TrialConfig, int]]] | None = None
    _data: dict[str, TrainingData] = field(default_factory=dict)

    def work(self, job: PackJob) -> None:
        """Train all members of a job, as few packs as their checkpoints allow."""
        run = RunFolder(Path(job.folder))
        if any(config.estimator for config in job.members.values()):
            self._estimate(job, run)
            self.tell({"event": "done", "job": job.id})
            return
        found = {number: read_checkpoint(run, number) for number in job.members}
        for begun in (True, False):
            group = {number: config for number, config in job.members.items() if bool(found[number]) == begun}
            if group:
                self._train(job, run, group, found)
        self.tell({"event": "done", "job": job.id})

    def _estimate(self, job: PackJob, run: RunFolder) -> None:
        """Fit estimators, one after another."""
        from autodl.tuning.executors._estimate import estimate

        goals = read_goals(run.data(TARGETS))
        for number, config in job.members.items():
            try:
                data = self._load(job, run, torch.device("cpu"))
                self.tell(estimate(run, number, config, data, goals, self._stop(job)))
            except Exception as error:
                self._fail(run, number, error)

    def _train(
        self,
        job: PackJob,
        run: RunFolder,
        group: Mapping[int, TrialConfig],
        checkpoints: Mapping[int, Mapping[str, Tensor]],
    ) -> None:
        """Train one pack; if it fails, its halves, so that the guilty member alone is lost."""
        crew = _Crew(self, job, run, dict(group))
        try:
            training = self._training(job, run, list(group.values()))
            if checkpoints.get(next(iter(group))):
                training.resume([checkpoints[number] for number in group])
            crew.training = training
            limits = Limits(job.until, self._stop(job), crew.more, max(job.room, len(group)), crew.left)
            training.run(limits, _Listener(self, run, crew.open))
        except Exception as error:
            rest = crew.open
            if len(rest) == 1:
                self._fail(run, next(iter(rest)), error)
                return
            if is_out_of_memory(error):
                self.tell({"event": "said", "text": f"a pack of {len(rest)} did not fit into memory and was halved"})
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            numbers = list(rest)
            for half in (numbers[: len(rest) // 2], numbers[len(rest) // 2 :]):
                if half:
                    self._train(replace(job, room=1), run, {n: rest[n] for n in half}, checkpoints)

    def _training(self, job: PackJob, run: RunFolder, configs: list[TrialConfig]) -> Training:
        device = torch.device(job.device)
        return Training(configs, self._load(job, run, device), device, bf16=job.bf16)

    def _load(self, job: PackJob, run: RunFolder, device: torch.device) -> TrainingData:
        key = json.dumps([job.inputs, str(device)], sort_keys=True)
        if key not in self._data:
            self._data.clear()  # one set of rows in memory at a time; files are mapped, so that reading again is cheap
            paths = {name: run.data(file) for name, file in job.inputs.items()}
            self._data[key] = rows_in_memory(paths, read_goals(run.data(TARGETS)), device)
        return self._data[key]

    def _stop(self, job: PackJob) -> Callable[[], bool]:
        deadline = job.deadline
        return lambda: self.stopped() or (deadline is not None and time.time() > deadline)

    def _latency(self, job: PackJob, training: Training, member: Member) -> Message:
        """What one row takes one network, alone."""
        if not member.weights:
            return {}
        data = training.data
        network = Network.seeded(member.config, data.specs, data.task.n_outputs).to(job.device).eval()
        network.load_state_dict({name: tensor[0] for name, tensor in member.weights.items()})
        row = data.batch(slice(0, 1))
        with torch.no_grad():
            return {"latency": median_seconds(lambda: network(row).cpu())}

    def _report(self, run: RunFolder, number: int, member: Member, whole: bool, more: Message) -> None:
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
        message: Message = {
            name: getattr(member, name) for name in ("score", "epoch", "best_epoch", "n_parameters", "error")
        }
        message |= {"event": "trial", "number": number, "ended": member.ended, "seconds": member.seconds}
        self.tell({**message, **more})

    def _fail(self, run: RunFolder, number: int, error: Exception) -> None:
        reason = "out of memory, alone in its pack" if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
        run.trial(number).mkdir(exist_ok=True)
        write_text(run.trial(number) / "error.txt", traceback.format_exc())
        nothing = {"score": None, "epoch": 0, "best_epoch": 0, "n_parameters": 0, "seconds": 0.0}
        self.tell({"event": "trial", "number": number, "ended": True, **nothing, "error": reason.split("\n")[0][:300]})


class _Crew:
    """Who trains in a pack now: trials leave it, and others join.

    Args:
        worker: Whose pack it is.
        job: What it is trained for.
        run: The run.
        members: Trial number → recipe.
    """

    def __init__(self, worker: Worker, job: PackJob, run: RunFolder, members: dict[int, TrialConfig]) -> None:
        self.worker, self.job, self.run = worker, job, run
        self.open = members
        self.first = frozenset(members)
        self.until = dict.fromkeys(members, job.until)
        self.training: Training | None = None
        self.asked = False

    def left(self, member: Member) -> None:
        """A trial leaves: keep what it leaves behind, and say so."""
        number = next(number for number, config in self.open.items() if config.seed == member.config.seed)
        assert self.training is not None, "internal error: nothing trains"
        latency = self.worker._latency(self.job, self.training, member) if self.job.latency else {}
        self.worker._report(self.run, number, member, member.epoch >= self.until[number], latency)
        del self.open[number]

    def more(self, room: int) -> list[tuple[TrialConfig, int]]:
        """Who joins now; where nobody waits, the driver is asked for somebody once.

        A pack lives no longer than those it was made for: else one structure would keep its worker for ever.
        """
        if self.worker.extras is None or self.first.isdisjoint(self.open):
            return []
        arrived = self.worker.extras(self.job.id)[:room]
        for number, config, until in arrived:
            self.open[number], self.until[number] = config, until
        if arrived:
            self.asked = False
        elif not self.asked:
            self.asked = True
            self.worker.tell({"event": "free", "job": self.job.id, "slots": room})
        return [(config, until) for _, config, until in arrived]


class _Listener:
    """Tells of epochs a few times a second, and writes checkpoints of long trainings."""

    def __init__(self, worker: Worker, run: RunFolder, group: Mapping[int, TrialConfig]) -> None:
        self.worker, self.run, self.group = worker, run, group
        self.told, self.written = 0.0, time.monotonic()

    def __call__(self, training: Training) -> None:
        now = time.monotonic()
        members = training.members
        known = {config.seed: number for number, config in self.group.items()}
        numbers = [known[config.seed] for config in members.configs]
        if now - self.told > TELL_SECONDS:
            self.told = now
            scores = list(members.scores)
            self.worker.tell({"event": "epoch", "numbers": numbers, "epoch": max(members.epochs), "scores": scores})
        if now - self.written > CHECKPOINT_SECONDS and training.whole:
            self.written = now
            for index, number in enumerate(numbers):
                write_checkpoint(self.run, number, members.leave(training.pack, index))


def write_checkpoint(run: RunFolder, number: int, member: Member) -> None:
    """Write what a trial goes on from."""
    if member.checkpoint:
        run.trial(number).mkdir(exist_ok=True)
        save_tensors(member.checkpoint, run.trial(number) / "checkpoint.safetensors")


def read_checkpoint(run: RunFolder, number: int) -> dict[str, Tensor]:
    """Read it; empty where there is none, or a damaged one: then the trial starts anew."""
    path = run.trial(number) / "checkpoint.safetensors"
    try:
        return load_file(path) if path.exists() else {}
    except Exception:  # a damaged file costs a repetition, never the trial
        return {}
