"""What every loss owes: subclass ``LossSuite`` with one fixture, and pytest does the rest.

Example:
    >>> class TestMine(LossSuite):  # doctest: +SKIP
    ...     loss = pytest.fixture(lambda self: MyLoss)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from autodl.contracts import Loss
from autodl.records import Task, TaskKind
from autodl.space import Choice, Value
from autodl.testing.encoder import edges

MEMBERS, ROWS = 4, 12
CLASS_COUNTS: dict[TaskKind, tuple[int, ...]] = {"binary": (30, 3), "multiclass": (20, 1, 0, 7)}
TASKS: dict[TaskKind, Task] = {
    "binary": Task("y", "binary", ("no", "yes")),
    "multiclass": Task("y", "multiclass", ("a", "b", "c", "d")),
    "multilabel": Task("y", "multilabel", further=("z", "w")),
    "regression": Task("y", "regression"),
    "multioutput": Task("y", "multioutput", further=("z",)),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)),
}


@dataclass(frozen=True)
class Rows:
    """Outputs and targets of a small pack for one task. The third class of four has no training row.

    Shape:
        outputs: members batch outputs
        targets: members batch, with several targets members batch targets
    """

    kind: TaskKind
    outputs: Tensor
    targets: Tensor

    @classmethod
    def drawn(cls, kind: TaskKind) -> Rows:
        """Return rows drawn with a fixed seed, in float64; each class occurs."""
        generator = torch.Generator().manual_seed(0)
        task = TASKS[kind]
        outputs = torch.randn(MEMBERS, ROWS, task.n_outputs, generator=generator, dtype=torch.float64)
        if task.is_classification:
            return cls(kind, outputs, torch.arange(MEMBERS * ROWS).view(MEMBERS, ROWS) % task.n_outputs)
        shape = (MEMBERS, ROWS) if len(task.targets) == 1 else (MEMBERS, ROWS, len(task.targets))
        targets = torch.randn(shape, generator=generator, dtype=torch.float64)
        return cls(kind, outputs, targets if task.is_numeric else (targets > 0).double())

    def predicted(self, distance: float, sharpness: float = 3.0) -> Tensor:
        """Outputs that miss the target by a distance, or, where it is not 0, name another class or label."""
        if TASKS[self.kind].is_numeric:
            missed = self.targets + distance
            return missed if self.kind == "multioutput" else missed.unsqueeze(-1).expand_as(self.outputs)
        if self.kind == "multilabel":
            return (2 * self.targets - 1) * (-sharpness if distance else sharpness)
        classes = self.outputs.shape[-1]
        named = (self.targets + 1) % classes if distance else self.targets
        return torch.nn.functional.one_hot(named, classes).double() * sharpness


def instance(loss: type[Loss], kind: TaskKind) -> Loss:
    """The loss for a task of that kind."""
    return loss(TASKS[kind], torch.tensor(CLASS_COUNTS.get(kind, ())))


def columns(settings: Sequence[Mapping[str, Value]], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Settings of all members as a pack passes them. Shape: → {name: members 1}."""
    return {name: torch.tensor([[float(each[name])] for each in settings], dtype=dtype) for name in settings[0]}


class LossSuite:
    """Tests of one loss; a subclass, or its module, has the fixture ``loss``: the class."""

    @pytest.fixture
    def costless(self, loss: type[Loss]) -> dict[str, Value]:
        """Settings with which a perfect prediction costs nothing; the low end of each knob unless overridden."""
        return {n: k.options[0] if isinstance(k, Choice) else k.low for n, k in loss.space.items()}

    @pytest.fixture
    def cases(self, loss: type[Loss]) -> Iterator[tuple[Rows, Loss, dict[str, Tensor]]]:
        """Every task of the loss with every edge of its space."""
        return (
            (Rows.drawn(kind), instance(loss, kind), columns([settings] * MEMBERS))
            for kind in sorted(loss.tasks)
            for settings in edges(loss.space)
        )

    def test_every_knob_may_differ_in_a_pack(self, loss: type[Loss]) -> None:
        """Each is a number or a boolean, says what it does, and has a default that the loss takes."""
        for name, knob in loss.space.items():
            assert knob.per_member, f"{name} must be per_member"
            assert knob.doc, f"{name} must have a doc"
            assert knob.allows(knob.center()), f"the default of {name} must be a value of it"
            assert not isinstance(knob.center(), str), f"{name} must be a number or a boolean"

    def test_one_finite_value_a_row(self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]]) -> None:
        """Of the outputs' precision, for classes without training rows too."""
        for rows, loss, settings in cases:
            values = loss(rows.outputs, rows.targets, settings)
            assert values.shape == (MEMBERS, ROWS)
            assert values.dtype == torch.float64
            assert values.isfinite().all()

    def test_a_row_does_not_see_the_others(self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]]) -> None:
        """A row costs the same alone."""
        for rows, loss, settings in cases:
            together = loss(rows.outputs, rows.targets, settings)
            alone = [loss(rows.outputs[:, i : i + 1], rows.targets[:, i : i + 1], settings) for i in range(ROWS)]
            torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-12, atol=1e-12)

    def test_a_member_does_not_see_the_others(self, loss: type[Loss]) -> None:
        """Members of different settings cost what each costs in a pack of its own."""
        corners = list(edges(loss.space))
        for kind in sorted(loss.tasks):
            rows, made = Rows.drawn(kind), instance(loss, kind)
            own = [corners[i % len(corners)] for i in range(MEMBERS)]
            together = made(rows.outputs, rows.targets, columns(own))
            for i, settings in enumerate(own):
                alone = made(rows.outputs[i : i + 1], rows.targets[i : i + 1], columns([settings]))
                torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-12)

    def test_members_may_have_several_axes(self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]]) -> None:
        """Two axes of members are as good as one."""
        for rows, loss, settings in cases:
            outputs, targets = (each.view(2, 2, *each.shape[1:]) for each in (rows.outputs, rows.targets))
            split = {name: value.view(2, 2, 1) for name, value in settings.items()}
            values = loss(outputs, targets, split)
            torch.testing.assert_close(values.flatten(0, 1), loss(rows.outputs, rows.targets, settings))

    def test_gradients_are_right(self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]]) -> None:
        """They agree with finite differences."""
        for rows, loss, settings in cases:
            outputs = rows.outputs.clone().requires_grad_()
            targets = rows.targets

            def values(outputs: Tensor, loss: Loss = loss, targets: Tensor = targets, own: object = settings) -> Tensor:
                return loss(outputs, targets, own)  # type: ignore[arg-type]

            assert torch.autograd.gradcheck(values, (outputs,))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gradients_stay_finite_far_off(
        self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]], dtype: torch.dtype
    ) -> None:
        """With outputs of ±10,000 in any direction, right or wrong, and with perfect ones."""
        for rows, loss, settings in cases:
            own = {name: value.to(dtype) for name, value in settings.items()}
            targets = rows.targets if TASKS[rows.kind].is_classification else rows.targets.to(dtype)
            far = rows.outputs.sign() * 1e4
            for start in (far, -far, torch.full_like(far, 1e4), rows.predicted(0), rows.predicted(0, 1e4)):
                outputs = start.to(dtype).requires_grad_()
                values = loss(outputs, targets, own)
                (gradient,) = torch.autograd.grad(values.sum(), outputs)
                assert values.isfinite().all()
                assert gradient.isfinite().all()

    def test_a_perfect_prediction_costs_nothing(self, loss: type[Loss], costless: dict[str, Value]) -> None:
        """And no row costs less."""
        for kind in sorted(loss.tasks):
            rows, made = Rows.drawn(kind), instance(loss, kind)
            own = columns([costless] * MEMBERS)
            perfect = made(rows.predicted(0, sharpness=100.0), rows.targets, own)
            torch.testing.assert_close(perfect, torch.zeros_like(perfect), rtol=0, atol=1e-12)
            assert (made(rows.outputs, rows.targets, own) >= -1e-12).all()

    def test_a_worse_prediction_costs_more(self, cases: Iterator[tuple[Rows, Loss, dict[str, Tensor]]]) -> None:
        """At every edge of the space, on every row."""
        for rows, loss, settings in cases:
            good, bad = (loss(rows.predicted(distance), rows.targets, settings) for distance in (0.0, 2.0))
            assert (good < bad).all()
