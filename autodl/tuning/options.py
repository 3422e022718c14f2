"""What the user may say about a search; plain data, so that run.json holds it and ``--resume`` takes it up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from autodl import registry
from autodl.errors import AutoDLError, unknown_name

DEFAULT_SECONDS = 300.0


@dataclass(frozen=True)
class SearchOptions:
    """How long, how many, by what, where.

    Attributes:
        time: Seconds of wall time for everything, the final evaluation included; None with ``trials`` means no limit,
            None without ``trials`` means ``DEFAULT_SECONDS``.
        trials: Trials to start; None means as many as fit.
        metric: What to optimise; None takes the task's default.
        seed: Source of all chance.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        jobs: Workers that train side by side; None takes one a core (one a GPU).
        models: Encoders to search; None means all that fit.
        space: Text of an edited space, as ``autodl space`` prints it.
        output: The run folder; None makes a new one in ``autodl-runs``.
        executor: ``local`` trains in workers of this machine, ``inline`` in this process.
    """

    time: float | None = None
    trials: int | None = None
    metric: str | None = None
    seed: int = 0
    device: str = "auto"
    jobs: int | None = None
    models: tuple[str, ...] | None = None
    space: str | None = None
    output: str | None = None
    executor: Literal["local", "inline"] = "local"

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``SearchOptions.from_json`` takes back."""
        return {**asdict(self), "models": None if self.models is None else list(self.models)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchOptions:
        """Rebuild options from ``to_json``'s data."""
        models = data["models"]
        return cls(**{**data, "models": None if models is None else tuple(models)})

    def checked(self) -> SearchOptions:
        """The same with a budget, once it is clear that all can be done.

        Raises:
            AutoDLError: A number is too small.
            UnknownNameError: A model is not registered.
        """
        for name, value, least in (("time", self.time, 1.0), ("trials", self.trials, 1), ("jobs", self.jobs, 1)):
            if value is not None and value < least:
                raise AutoDLError(f"--{name} must be at least {least:g}, however {value} came; raise it")
        for model in self.models or ():
            if model not in registry.encoders.names():
                raise unknown_name("encoder", model, registry.encoders.names())
        return replace(self, time=DEFAULT_SECONDS) if self.time is None and self.trials is None else self
