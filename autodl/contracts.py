"""The contracts: the whole architecture on one page.

    columns ─Modality─► tensor ─Encoder─► tokens ─Fusion─► one vector ─head─► outputs ─Loss─► one value a row
                                                              Optimizer: one update of a whole pack
                                                              Explainer: a question about a model → attribution

A component is one file in a room, called as the file; a subclass documents what is its own, nothing that stands here.
Whoever writes one runs the suite of ``autodl.testing`` over it. Shapes are written in einops axis names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from autodl.attribution import Attribution, Question
from autodl.dropout import Dropout as Dropout
from autodl.layout import ParameterLayout as ParameterLayout
from autodl.records import Column, InputSpec, Schema, Stored, Task, TaskKind
from autodl.space import Space

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Inputs: TypeAlias = dict[str, Tensor]
"""Input name → ``batch *shape``; always floating point; iterated in sorted key order. A missing row is all NaN."""

Noise: TypeAlias = Callable[..., Tensor]
"""``noise(batch, 3)`` draws ``members batch 3`` uniform numbers in [0, 1), each member's from its own generator."""


class Modality(ABC):
    """Columns → one tensor.

    The settings in ``space`` that are structural decide what ``transform`` returns; the ``per_member`` ones are
    augmentation, and reach ``augment`` only.

    Args:
        columns: The columns claimed for one input.
        settings: One value for each structural knob of ``space`` that counts.
    """

    space: ClassVar[Space] = Space()

    def __init__(self, columns: Sequence[Column], **settings: Any) -> None:
        self.columns = tuple(columns)
        self.settings = settings

    @classmethod
    @abstractmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        """Return, by input name, the columns that this modality takes; empty where there are none."""

    @abstractmethod
    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        """Learn from training rows alone what ``transform`` needs.

        Args:
            rows: The training rows, all columns of the table.
            targets: ``(rows,)``, or ``(rows, targets)`` where several are predicted, as ``Task`` says.
            task: What is predicted.
            seed: For whatever is drawn by chance.
        """

    @abstractmethod
    def transform(self, rows: pd.DataFrame) -> Stored:
        """Return the rows as they are kept in memory; a missing or broken cell never raises."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that ``from_state`` needs: JSON-able values and numpy arrays, nested in dicts."""

    @classmethod
    @abstractmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Modality:
        """Rebuild a fitted modality that transforms to the same numbers."""

    @classmethod
    def augment(cls, batch: Tensor, settings: Mapping[str, Tensor], noise: Noise) -> Tensor:
        """Return a training batch changed by chance.

        Shape:
            batch: members batch *shape
            settings: ``per_member`` knobs, each ``(members,)``; a Choice of strings as the index of its option.
        """
        return batch


class Encoder(nn.Module, ABC):
    """Tensor → tokens; a model family.

    Activations are modules, one object per use; dropout is ``autodl.contracts.Dropout``; no running statistics are
    updated in place; a ``per_member`` setting must be a buffer, as members of a pack differ in it.

    Attributes:
        space: Its hyperparameters.
        width: Width of the tokens it emits.
        copies: Predictors that it holds: with more than one, each token is one, with a head and a loss of its own, and
            what they predict is averaged.
        convolutional: Whether it convolves. ``vmap`` makes grouped convolutions of these, which a CPU runs far slower,
            so that packs of them hold one member there.
        reads: Structural settings that its input's modality must have for it.
        pretrained: Whether it begins with weights that came with a package.
    """

    space: ClassVar[Space] = Space()
    convolutional: ClassVar[bool] = False
    reads: ClassVar[Mapping[str, Any]] = {}
    pretrained: ClassVar[bool] = False
    copies: int = 1
    width: int

    @classmethod
    @abstractmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Whether it can encode such an input, told by shape and kinds of features, never by a modality's name."""

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """The knobs that make sense for this input; ``space`` unless narrowed."""
        return cls.space

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *shape → batch tokens width."""


class Fusion(nn.Module, ABC):
    """Tokens of several inputs → one vector.

    Args:
        widths: Width of the tokens of each input; iterated in sorted order.

    Attributes:
        heads_first: Whether it takes what a head of each input says instead of its tokens: raw outputs (logits,
            standardised numbers), one token an input and all of one width, which is its own too; what it returns are
            the network's outputs, with no head after it.
        additive: Whether it returns a sum of one term for each input that is there, so that no two of them interact.
        width: Width of what it returns.
    """

    space: ClassVar[Space] = Space()
    heads_first: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    width: int

    @abstractmethod
    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch tokens width}, {input: batch, 1 where there and 0 where missing} → batch width."""


class Loss(ABC):
    """Outputs, targets → one value a row, so that members and row weights stay apart.

    Args:
        task: What is predicted.
        class_counts: ``(classes,)``: training rows of each class; empty unless a class is predicted.
    """

    space: ClassVar[Space] = Space()
    tasks: ClassVar[frozenset[TaskKind]]

    def __init__(self, task: Task, class_counts: Tensor) -> None:
        self.task = task
        self.class_counts = class_counts

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
        """Shape: members batch outputs, members batch (class index, or standardised number; with several targets
        members batch targets), each (members, 1) → members batch.
        """


class Optimizer(ABC):
    """One update of a whole pack, in place; every member has its own settings. Weight decay leaves vectors alone:
    only parameters of at least two axes decay.

    Knobs are numbers or booleans and all ``per_member``; ``learning_rate`` and ``weight_decay`` go by these names.

    Args:
        layout: Where each parameter lies.
    """

    space: ClassVar[Space] = Space()

    def __init__(self, layout: ParameterLayout) -> None:
        self.layout = layout

    @abstractmethod
    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        """Return what is kept between updates, each with members first. Shape of ``parameters``: members parameters."""

    @abstractmethod
    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Take one step: change ``parameters`` and the tensors in ``state`` in place; ``gradients`` may be overwritten.

        Shape:
            parameters, gradients: members parameters
            settings: each members 1
            schedule: members 1, the factor on learning rates at this step
        """

    def evaluation(self, parameters: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Tensor]) -> Tensor:
        """Return the weights to predict with, where they are not those that gradients are taken at."""
        return parameters


class Estimator(ABC):
    """A scikit-learn learner that races beside the networks; it reads a row's inputs side by side as one vector.

    Numbers to predict are seen through a ``TargetScale``, as networks see them.

    Args:
        task: What is predicted.
        seed: Of all chance.
        settings: One value for each knob of ``space`` that counts.

    Attributes:
        baseline: Whether it is tried at its defaults in every search, for others to be compared with.
        groups: Positions of the features that are one category's, one-hot, for each such column; set before ``fit``.
        learnt: What ``fit`` found: numbers and arrays in plain containers; whatever else goes through skops, which must
            trust it by itself.
    """

    space: ClassVar[Space] = Space()
    tasks: ClassVar[frozenset[TaskKind]]
    baseline: ClassVar[bool] = False
    groups: Sequence[Sequence[int]] = ()
    learnt: Any = None

    def __init__(self, task: Task, seed: int, **settings: Any) -> None:
        self.task, self.seed, self.settings = task, seed, settings

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        """Whether it is worth trying on so much data."""
        return True

    @abstractmethod
    def fit(self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, stop: Callable[[], bool]) -> None:
        """Learn from float32 ``rows features`` and targets as ``Task`` says; where ``stop`` says so, end early with
        what is learnt so far.
        """

    @abstractmethod
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return predictions as ``Task`` says, numbers as they were seen. Shape: rows features → rows …."""


class Explainer(ABC):
    """A question about a model's outputs → an attribution.

    ``autodl.explaining.ask`` puts the question: model in evaluation mode, chance seeded, all left as it was found; it
    refuses where there is an objection, and works out output and completeness gap.

    Args:
        settings: Values of knobs of ``space``; the others take their defaults.

    Attributes:
        complete: Whether values sum to f(x) - base.
        local: Whether each row gets an answer of its own; else one is given for all rows together.
        reference: What its values compare with: the ``background`` rows, the one ``baseline`` row, or ``nothing``.
        needs: Fields of ``Question`` that it cannot do without, beside those that are always there.
    """

    space: ClassVar[Space] = Space()
    complete: ClassVar[bool] = False
    local: ClassVar[bool] = True
    reference: ClassVar[Literal["background", "baseline", "nothing"]] = "background"
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **settings: Any) -> None:
        self.settings = {**self.space.defaults(), **settings}

    def objection(self, question: Question) -> str | None:
        """Return why its answer would be wrong for this question, naming the layer where there is one; or None."""
        return None

    @abstractmethod
    def attribute(self, question: Question) -> Attribution:
        """Return each player's share in output ``question.target``; fields that ``Attribution`` says are set by who
        asks stay as they are.
        """

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """Return an attribution for each of some outputs; methods that get them at once say how."""
        return [self.attribute(replace(question, target=target)) for target in targets]
