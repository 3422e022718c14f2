"""The frozen records that travel between rooms; JSON-able but for tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from autodl.tasks import Task as Task
from autodl.tasks import TaskKind as TaskKind

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

ColumnKind: TypeAlias = Literal["number", "category", "boolean", "date", "text", "image", "audio", "ignored"]
TrialState: TypeAlias = Literal["running", "paused", "complete", "pruned", "stopped", "failed"]
COLUMN_KINDS: tuple[ColumnKind, ...] = ("number", "category", "boolean", "date", "text", "image", "audio", "ignored")

_AXES = {1: ("feature",), 2: ("token", "entry"), 3: ("channel", "height", "width")}


@dataclass(frozen=True)
class Column:
    """One column of the user's table, what it was taken for, and why."""

    name: str
    kind: ColumnKind
    reason: str = ""


@dataclass(frozen=True)
class Schema:
    """The columns of a table but the target, in their order."""

    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def of_kind(self, *kinds: ColumnKind) -> tuple[Column, ...]:
        """The columns of some kinds, in their order."""
        return tuple(column for column in self.columns if column.kind in kinds)


@dataclass(frozen=True, eq=False)
class InputSpec:
    """All that an encoder or an explainer must know of one input.

    The tensor that an encoder sees is ``(stored - offset) * scale``, so that images stay uint8 in memory; or, where
    there is a ``table``, ``table[stored]``, so that texts stay ids.

    Attributes:
        shape: Shape of one row: ``(features,)`` for tables, ``(channels, height, width)`` for images,
            ``(channels, frequencies, frames)`` for sounds, ``(tokens, 1)`` or ``(tokens, width)`` for texts.
        columns: The user's columns behind the input.
        feature_names: A name for each feature of a table; empty for other shapes.
        feature_mask: LongTensor of ``shape``: the index into ``columns`` that each entry belongs to, so that a
            one-hot group, or an image, is one player.
        baseline: Tensor of ``shape``, as an encoder sees it: what "nothing known" looks like. A missing cell gets it.
        numeric: BoolTensor ``(features,)``: which features are numbers (and so may get a numeric embedding); None for
            other shapes than ``(features,)``.
        quantiles: Tensor ``(points, features)``: quantiles of the training rows at evenly spaced levels, as an encoder
            sees them, for bins; None for other shapes.
        relevance: Tensor ``(columns,)``: mutual information with the target over training rows, in nats, or None.
        offset: Tensor that broadcasts to ``shape``; see above.
        scale: Tensor that broadcasts to ``shape``; see above.
        axes: What each axis of ``shape`` is: ``feature``, ``channel``, ``height``, ``width``, ``frequency``, ``time``,
            ``token`` or ``entry``; told by the number of axes where it is empty.
        vocabulary: How many ids there are where entries are ids of tokens, names and no quantities, held as floats:
            0 is no token, 1 one that training rows did not hold. 0 where entries are quantities.
        table: Tensor ``(ids, width)``: the vector of each id, see above; that of id 0 is zero.
        summary: Tensor ``(vocabulary, features)``: what each id adds to the vector that stands for a text where a model
            takes vectors only.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...]
    feature_mask: Tensor
    baseline: Tensor
    feature_names: tuple[str, ...] = ()
    numeric: Tensor | None = None
    quantiles: Tensor | None = None
    relevance: Tensor | None = None
    offset: Tensor | None = None
    scale: Tensor | None = None
    axes: tuple[str, ...] = ()
    vocabulary: int = 0
    table: Tensor | None = None
    summary: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes) or _AXES.get(len(self.shape), ("entry",) * len(self.shape)))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain data, and tensors by field name, that ``InputSpec.from_parts`` takes back."""
        plain: dict[str, Any] = {
            name: list(getattr(self, name)) for name in ("shape", "columns", "feature_names", "axes")
        }
        plain["vocabulary"] = self.vocabulary
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in plain}
        return plain, {name: value.contiguous() for name, value in values.items() if value is not None}

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> InputSpec:
        """Rebuild a spec from ``to_parts``'s data."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value for name, value in plain.items()
        }
        return cls(**values, **tensors)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Stored:
    """One input of many rows as it is kept in memory: what ``Modality.transform`` returns.

    Attributes:
        values: ``(rows, *shape)``, float32, uint8 or int32; rows that are missing hold zeros.
        present: BoolTensor ``(rows,)``: False where the whole input of a row is missing (an image that is not there).
        problems: Cells that could not be used, each with its reason, as ``(row, column, reason)``; missing cells that
            the user left empty are not among them.
    """

    values: Tensor
    present: Tensor
    problems: tuple[tuple[int, str, str], ...] = ()

    @cached_property
    def gaps(self) -> bool:
        """Whether any row is missing."""
        return not bool(self.present.all())


@dataclass(frozen=True)
class Component:
    """A registered name and the settings it is built with: the recipe of one part."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``Component.from_json`` takes back."""
        return {"name": self.name, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Component:
        """Rebuild a component from ``to_json``'s data."""
        return cls(data["name"], dict(data["settings"]))


@dataclass(frozen=True)
class TrialConfig:
    """A whole configuration: from it, the data and nothing else a trial is trained again to the same weights.

    Attributes:
        modalities: For each input the modality and its settings (``scaling``, augmentation …).
        encoders: For each input the encoder and its settings.
        fusion: The fusion; None with one input.
        estimator: A scikit-learn learner instead of a network: then there are no encoders, and ``loss`` and
            ``optimizer`` have no name.
        loss: The loss and its settings.
        optimizer: The optimizer and its settings.
        training: Settings of the loop itself: see ``autodl.training.settings.TRAINING_SPACE``.
        epochs: Length of a full training, which schedules are laid over.
        seed: Source of the member's weights, row order, dropout and augmentation.
    """

    modalities: Mapping[str, Component]
    encoders: Mapping[str, Component]
    loss: Component
    optimizer: Component
    training: Mapping[str, Any]
    epochs: int
    seed: int
    fusion: Component | None = None
    estimator: Component | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``TrialConfig.from_json`` takes back."""
        return {
            "modalities": {name: part.to_json() for name, part in self.modalities.items()},
            "encoders": {name: part.to_json() for name, part in self.encoders.items()},
            "fusion": self.fusion.to_json() if self.fusion else None,
            "estimator": self.estimator.to_json() if self.estimator else None,
            "loss": self.loss.to_json(),
            "optimizer": self.optimizer.to_json(),
            "training": dict(self.training),
            "epochs": self.epochs,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialConfig:
        """Rebuild a configuration from ``to_json``'s data."""
        return cls(
            modalities={name: Component.from_json(part) for name, part in data["modalities"].items()},
            encoders={name: Component.from_json(part) for name, part in data["encoders"].items()},
            fusion=Component.from_json(data["fusion"]) if data["fusion"] else None,
            estimator=Component.from_json(data["estimator"]) if data.get("estimator") else None,
            loss=Component.from_json(data["loss"]),
            optimizer=Component.from_json(data["optimizer"]),
            training=dict(data["training"]),
            epochs=data["epochs"],
            seed=data["seed"],
        )


@dataclass(frozen=True)
class TrialRecord:
    """One row of the leaderboard.

    Attributes:
        number: Order in which the trials were asked for, from 0.
        state: ``complete`` (trained to its end, or without progress for too long), ``pruned`` (left at a rung),
            ``stopped`` (the search ended while it trained), ``paused`` (at a rung, may go on), ``running`` or
            ``failed``.
        config: The recipe.
        score: Best validation score over epochs, in the metric's own direction; None before the first epoch.
        epoch: Epochs trained so far.
        best_epoch: The epoch whose weights are kept, from 1.
        n_parameters: Weights of the network.
        seconds: The trial's share of its packs' training time.
        source: Where the configuration came from: ``portfolio``, ``random``, ``tpe``, ``mutation``,
            ``baseline``.
        rungs: Best score so far at each rung passed, by its epoch.
        error: Why the trial failed, in one line.
        cost: What the second objective says (seconds a row, parameters, the user's own), lower is better; None without.
    """

    number: int
    state: TrialState
    config: TrialConfig
    score: float | None = None
    epoch: int = 0
    best_epoch: int = 0
    n_parameters: int = 0
    seconds: float = 0.0
    source: str = ""
    rungs: Mapping[int, float] = field(default_factory=dict)
    error: str = ""
    cost: float | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Row positions of the parts, each sorted; no test row is in another part.

    Attributes:
        train: Positions of the rows that weights are fitted on; cross-validated, every row but the test part.
        validation: Positions of the rows that the search is steered by; cross-validated, the same rows as ``train``,
            each predicted by networks that were not fitted on it.
        test: Positions of the rows that are touched once, at the end.
        how: The rule in words, for the user.
        cross: Training and validation positions of each fold; empty where one validation part is held out.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    how: str = ""
    cross: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @property
    def folds(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Training and validation positions of each fold; the one pair where a part is held out."""
        return self.cross or ((self.train, self.validation),)

    @property
    def rows(self) -> np.ndarray:
        """Every position but the test part's, training rows first."""
        import numpy as np

        return self.train if self.cross else np.concatenate([self.train, self.validation])


def column_names(columns: Sequence[Column]) -> list[str]:
    """The names of some columns, in their order."""
    return [column.name for column in columns]
