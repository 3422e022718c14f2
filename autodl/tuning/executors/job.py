"""What goes to a worker and what comes back: JSON that any transport can carry; tensors stay in the run folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from autodl.records import TrialConfig

Message: TypeAlias = dict[str, Any]
"""What an executor tells the driver; ``event`` is one of

    ``epoch``   numbers, epoch, scores: a pack finished an epoch
    ``trial``   number, ended, score, epoch, best_epoch, n_parameters, seconds, error, and latency if the job asks
                for it (seconds that one row takes one model): a trial left its pack
    ``free``    job, slots: a pack has room for so many more trials of its structure
    ``said``    text: something the user should know
    ``done``    job: nothing more comes of this job
    ``lost``    job (the ``PackJob`` itself), reason: the worker died over it
"""


@dataclass(frozen=True)
class PackJob:
    """Trials of one structure to train together up to an epoch.

    Attributes:
        id: The driver's number for it.
        folder: The run folder.
        members: Trial number → configuration.
        inputs: Input name → key of its tensors in the run folder.
        epoch: Epochs that the trials have behind them; their checkpoints may be further.
        until: Epoch to train to.
        deadline: ``time.time()`` at which to stop inside an epoch; None without a limit.
        device: Where to train.
        threads: Threads of the worker.
        bf16: Whether convolutions are computed in bfloat16; decided once a run, or workers could differ.
        attempt: How often it was tried before.
        latency: Whether to tell how long a prediction takes.
        room: Trials that the pack may hold: where it has fewer, others may join while it trains.
    """

    id: int
    folder: str
    members: Mapping[int, TrialConfig]
    inputs: Mapping[str, str]
    epoch: int
    until: int
    deadline: float | None
    device: str
    threads: int
    bf16: bool = False
    attempt: int = 0
    latency: bool = False
    room: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``PackJob.from_json`` takes back."""
        members = [[number, config.to_json()] for number, config in self.members.items()]
        return {**asdict(self), "members": members}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PackJob:
        """Rebuild a job from ``to_json``'s data."""
        members = {int(number): TrialConfig.from_json(config) for number, config in data["members"]}
        return cls(**{**data, "members": members})


@dataclass
class Executor(ABC):
    """Trains packs somewhere.

    Attributes:
        slots: Packs that it trains side by side.
        running: The jobs it has, by number.
    """

    slots: int
    running: dict[int, PackJob] = field(default_factory=dict, init=False)

    @property
    def free(self) -> int:
        """Packs it can take now."""
        return self.slots - len(self.running)

    @abstractmethod
    def log_to(self, folder: Path) -> None:
        """Keep in a folder what is printed by other processes while packs train."""

    @abstractmethod
    def submit(self, job: PackJob) -> None:
        """Take a job; ``free`` must be positive."""

    def join(self, job: PackJob, until: int, numbers: Sequence[int]) -> None:
        """Let trials join a running job, whose ``members`` hold them already.

        Never asked of an executor whose packs tell of no free place.
        """
        raise NotImplementedError(f"{type(self).__name__} lets nobody join a pack")

    @abstractmethod
    def poll(self, seconds: float) -> list[Message]:
        """Return what happened, waiting at most so long for something to happen."""

    @abstractmethod
    def stop(self) -> None:
        """Ask all running jobs to stop inside their epoch; they still report."""

    @abstractmethod
    def close(self) -> None:
        """End everything at once."""
