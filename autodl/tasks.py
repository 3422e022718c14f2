"""The task: what is predicted, and how networks see the numbers that they predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

TaskKind: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression", "multioutput", "quantile"]
TASK_KINDS: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel", "regression", "multioutput", "quantile")


@dataclass(frozen=True)
class TargetScale:
    """How networks and estimators see numbers that they predict: z = (f(y) - location) / scale.

    What they answer is kept within ``low`` and ``high``, a little beyond what the training rows hold, before it is
    turned back: no prediction runs away.

    Attributes:
        name: ``none`` (f is the identity) or ``log`` (f is the logarithm of y + shift).
        location: Mean of f(y) over the training rows, one a target.
        scale: Standard deviation of f(y) over the training rows, one a target.
        low: Least z that may be answered, one a target.
        high: Largest z that may be answered, one a target.
        shift: What is added before the logarithm.
    """

    name: str = "none"
    location: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    low: tuple[float, ...] = (float("-inf"),)
    high: tuple[float, ...] = (float("inf"),)
    shift: float = 0.0

    def forward(self, targets: np.ndarray) -> np.ndarray:
        """Shape: rows, or rows targets, in the user's unit → the same as networks see them."""
        import numpy as np

        seen = np.log(targets + self.shift) if self.name == "log" else np.asarray(targets, np.float64)
        return np.asarray((seen - self._shaped(self.location, seen)) / self._shaped(self.scale, seen))

    def inverse(self, answers: np.ndarray) -> np.ndarray:
        """Shape: rows, or rows targets, as networks answer → the same in the user's unit."""
        import numpy as np

        kept = np.clip(answers, self._shaped(self.low, answers), self._shaped(self.high, answers))
        seen = kept * self._shaped(self.scale, answers) + self._shaped(self.location, answers)
        return np.asarray(np.exp(seen) - self.shift if self.name == "log" else seen)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetScale:
        """Rebuild a scale from its attributes as plain data."""
        lists = {name: tuple(data[name]) for name in ("location", "scale", "low", "high")}
        return cls(**{**data, **lists})

    def _shaped(self, values: tuple[float, ...], like: np.ndarray) -> Any:
        import numpy as np

        return values[0] if like.ndim == 1 or len(values) == 1 else np.asarray(values)


@dataclass(frozen=True)
class Task:
    """What is to be predicted, and by which metric it is judged.

    How predictions of each kind look, as metrics take them and a predictor returns them:

    * ``binary``, ``multiclass``: probabilities ``(rows, classes)``; targets are class indices ``(rows,)``, int64.
    * ``multilabel``: probabilities ``(rows, targets)`` of each 0/1 target; targets are ``(rows, targets)``, float64.
    * ``regression``: numbers ``(rows,)``; targets the same, float64.
    * ``multioutput``: numbers ``(rows, targets)``; targets the same, float64.
    * ``quantile``: numbers ``(rows, quantiles)``, not falling along a row; targets are numbers ``(rows,)``, float64.

    Attributes:
        target: The target column's name; with several targets the first one's.
        kind: One of ``TASK_KINDS``.
        classes: The class labels as the user wrote them, sorted; empty unless ``binary`` or ``multiclass``. For
            ``binary`` the second one is the positive class.
        metric: The name of the metric that steers the search.
        further: The names of further targets, where several are predicted together.
        quantiles: Levels between 0 and 1, rising; empty unless ``quantile``.
        scales: How numbers may be seen by those who predict them, the plain way first; empty where none are predicted.
    """

    target: str
    kind: TaskKind
    classes: tuple[bool | int | float | str, ...] = ()
    metric: str = ""
    further: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    scales: tuple[TargetScale, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of all targets."""
        return (self.target, *self.further)

    @property
    def is_classification(self) -> bool:
        """Whether one of several classes is predicted."""
        return self.kind in ("binary", "multiclass")

    @property
    def is_numeric(self) -> bool:
        """Whether numbers are predicted, and not classes or labels."""
        return self.kind in ("regression", "multioutput", "quantile")

    @property
    def n_outputs(self) -> int:
        """Width of the head: one logit a class (two for ``binary``), one a 0/1 target, one number a target or level."""
        if self.is_classification:
            return len(self.classes)
        return len(self.quantiles) if self.kind == "quantile" else len(self.targets)

    def scale(self, name: str = "none") -> TargetScale:
        """The scale of that name; one that changes nothing where there is none."""
        return next((scale for scale in self.scales if scale.name == name), TargetScale())

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``Task.from_json`` takes back."""
        lists = {name: list(getattr(self, name)) for name in ("classes", "further", "quantiles")}
        return {**asdict(self), **lists, "scales": [asdict(scale) for scale in self.scales]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Rebuild a task from ``to_json``'s data."""
        lists = {name: tuple(data[name]) for name in ("classes", "further", "quantiles")}
        scales = tuple(TargetScale.from_json(each) for each in data["scales"])
        return cls(**{**data, **lists, "scales": scales})
