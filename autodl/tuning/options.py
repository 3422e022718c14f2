"""What the user may say about a search; plain data, so that run.json holds it and ``--resume`` takes it up again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from autodl import registry
from autodl.errors import AutoDLError, unknown_name

DEFAULT_SECONDS = 300.0
GROUPS = ("networks", "all")
"""Words that stand for many models: all encoders, or these and all estimators."""

_LIMITS = (
    ("time", 1.0, math.inf),
    ("trials", 1, math.inf),
    ("jobs", 1, math.inf),
    ("folds", 1, 20),
    ("repeats", 1, 20),
)
_MINIMIZABLE = ("latency", "parameters")


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
        models: Encoders and estimators to search, or ``networks`` or ``all`` of them; None means ``all`` that fit.
        space: Text of an edited space, as ``autodl space`` prints it.
        output: The run folder; None makes a new one in ``autodl-runs``.
        executor: ``local`` trains in workers of this machine, ``inline`` in this process.
        folds: Folds of the cross-validation; 1 holds one part out, None decides by the rows and the time.
        repeats: How often all rows are divided into folds anew; counts where ``folds`` is given.
        refit: Whether the best are trained again on all rows but the test's, instead of keeping one network a fold.
        single: Whether the predictor is one network instead of an ensemble.
        minimize: What shall be small beside a good score: ``latency`` or ``parameters``.
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
    folds: int | None = None
    repeats: int = 1
    refit: bool = False
    single: bool = False
    minimize: Literal["latency", "parameters"] | None = None

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
            AutoDLError: A number is too small or too large, or nothing can be minimised by that name.
            UnknownNameError: A model is not registered.
        """
        for name, least, most in _LIMITS:
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                what = f"at least {least:g}, however {value} came; raise it"
                if value > most:
                    what = f"at most {most:g}, however {value} came; lower it"
                raise AutoDLError(f"--{name} must be {what}")
        if self.repeats > 1 and (self.folds or 1) == 1:
            raise AutoDLError("--repeats must come with --folds, however it came alone; say --folds 5 or so")
        if self.minimize is not None and self.minimize not in _MINIMIZABLE:
            raise AutoDLError(
                f"--minimize must be one of {', '.join(_MINIMIZABLE)}, however '{self.minimize}' came; choose one"
            )
        for model in self.models or ():
            known = [*registry.encoders.names(), *registry.estimators.names(), *GROUPS]
            if model not in known:
                raise unknown_name("model", model, known)
        return replace(self, time=DEFAULT_SECONDS) if self.time is None and self.trials is None else self
