"""What every explainer owes: subclass ``ExplainerSuite`` with one fixture, and pytest does the rest.

The rule behind all of it: an explanation is right, or refused with a reason; there is no third outcome.

Example:
    >>> class TestMine(ExplainerSuite):  # doctest: +SKIP
    ...     explainer = pytest.fixture(lambda self: MyExplainer)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from autodl.attribution import Attribution, Players, Question
from autodl.contracts import Explainer
from autodl.errors import ExplanationError
from autodl.explaining.ask import LARGEST_GAP, ask
from autodl.testing._explainer_cases import ROWS, about, linear_question, quietly, small_questions

EXACT = 1e-5
"""Completeness gaps in float32: of the sizes added up, and, where steps are taken, of what is to be explained."""
LITTLE = 2**15
"""Bytes: a few rows."""


def answered(explainer: Explainer, question: Question, targets: Sequence[int] = (0,)) -> list[Attribution] | None:
    """Return what it says, or None where it refuses; a refusal must say why and what to do instead."""
    try:
        return ask(explainer, question, targets)
    except ExplanationError as refusal:
        reason = str(refusal)
        assert len(reason) > 40, f"a refusal must say why, not only '{reason}'"
        assert "; " in reason, f"a refusal must say what to do instead, not only '{reason}'"
        return None


def check(explainer: Explainer, question: Question, found: Attribution) -> None:
    """Shapes, finite numbers, and the sum of methods that promise one."""
    lines, players = len(question) if explainer.local else 1, len(question.players)
    assert found.values.shape in ((lines, players), (len(question), 0)), found.values.shape
    assert found.values.isfinite().all(), "values must be finite"
    assert found.base.shape in ((), (len(question),)), found.base.shape
    for name, entries in (found.entries or {}).items():
        assert entries.shape == question.inputs[name].shape, name
        assert entries.isfinite().all(), f"entries of {name} must be finite"
    if found.entries is not None:
        pooled = question.players.pooled(found.entries).to(found.values)
        assert torch.allclose(pooled, found.values, rtol=1e-4, atol=1e-5), "entries must add up to values"
    if found.standard_error is not None:
        assert found.standard_error.shape == found.values.shape
        assert (found.standard_error >= 0).all(), "standard errors must be numbers, and not negative"
    if found.interactions is not None:
        assert found.interactions.shape == (lines, players, players)
    if explainer.complete:
        assert found.output is not None
        assert found.completeness_gap is not None
        whole, added = (found.output - found.base).abs(), found.values.abs().sum(1)
        sizes = found.output.abs() + found.base.abs() + added
        shown = torch.maximum(whole, LARGEST_GAP * added)
        allowed = 1e-4 * sizes + LARGEST_GAP * shown if "steps" in explainer.space else EXACT * sizes
        assert (found.completeness_gap.abs() <= allowed).all(), f"gap {found.completeness_gap} of {whole}"


class ExplainerSuite:
    """Tests of one explainer; a subclass, or its module, has the fixture ``explainer``.

    ``settings`` may be replaced, to run methods that take long with fewer samples.
    """

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        """Settings that differ from the defaults."""
        return {}

    @pytest.fixture
    def asked(self, explainer: type[Explainer], settings: dict[str, Any]) -> Explainer:
        """The explainer at its settings."""
        return explainer(**settings)

    @pytest.fixture
    def questions(self) -> dict[str, Question]:
        """About a table, an image, both together, a sound, and a text beside a table."""
        return small_questions()

    @pytest.fixture
    def linear(self, asked: Explainer) -> Question:
        """About a linear model, in float64; the mean of the background is the baseline."""
        question = linear_question()
        if answered(asked, question) is None:
            pytest.skip("refuses a linear model of a table, with a reason")
        return question

    def test_every_knob_is_documented(self, explainer: type[Explainer]) -> None:
        """Each knob says what it does, and its default is a value that the component takes."""
        for name, dimension in explainer.space.items():
            assert dimension.doc, f"{name} must have a doc"
            assert dimension.allows(dimension.center()), f"the default of {name} must be a value of it"

    def test_it_answers_or_says_why_not(self, asked: Explainer, questions: Any) -> None:
        """And answers at least one of them; what it says has the right shapes, is finite and adds up."""
        found = {kind: answered(asked, question, (0, 2)) for kind, question in questions.items()}
        assert any(found.values()), "it must answer a question about a table, an image, a sound or a text"
        for kind, answers in found.items():
            for answer in answers or ():
                check(asked, questions[kind], answer)

    def test_outputs_at_once_are_as_one_by_one(self, asked: Explainer, questions: Any) -> None:
        """``attribute_all`` is a short cut, no other method."""
        for question in questions.values():
            together, alone = answered(asked, question, (2, 0)), [answered(asked, question, (each,)) for each in (2, 0)]
            assert (together is None) == (None in alone), "one refusal is a refusal of all, and there is no other"
            for found, (single,) in zip(together or (), filter(None, alone), strict=True):
                _close(found, single)

    def test_the_seed_decides(self, asked: Explainer, questions: Any) -> None:
        """The same one gives the same numbers; no other source of chance is drawn from."""
        for question in questions.values():
            for first, again in zip(answered(asked, question) or (), answered(asked, question) or (), strict=True):
                assert torch.equal(first.values, again.values)
                for name, entries in (first.entries or {}).items():
                    assert torch.equal(entries, (again.entries or {})[name])

    def test_everything_is_left_as_it_was(self, asked: Explainer, questions: Any) -> None:
        """Modes, gradients, flags, hooks, buffers and weights of a model in training; the rows; torch's generator."""
        for question in questions.values():
            question.model.train()
            parameters = list(question.model.parameters())
            parameters[0].grad = torch.ones_like(parameters[0])
            parameters[-1].requires_grad_(False)
            before, generator = _outline(question), torch.get_rng_state()
            answered(asked, question)
            for now, then in zip(_outline(question), before, strict=True):
                assert now == then
            assert torch.equal(torch.get_rng_state(), generator)

    def test_a_row_does_not_see_the_others(self, asked: Explainer, questions: Any) -> None:
        """Alone it gets the answer that it gets among others, up to its standard error."""
        for question in questions.values() if asked.local else ():
            for found in answered(asked, question) or ():
                (alone,) = ask(asked, question.at(slice(1, 2)), (0,))
                _close(_row(found, 1), alone)

    def test_memory_changes_nothing(self, asked: Explainer, questions: Any) -> None:
        """Whether rows go through together or one by one."""
        for question in questions.values():
            for found in answered(asked, question) or ():
                (tight,) = ask(asked, replace(question, memory=LITTLE), (0,))
                _close(found, tight)

    def test_an_ignored_column_gets_nothing(self, asked: Explainer, linear: Question) -> None:
        """The dummy axiom, to rounding, or to what chance explains."""
        (found,) = ask(asked, linear, (1,))
        if found.values.shape[1]:
            ignored = found.values[:, linear.players.names.index("number_1")]
            error = 0.0 if found.standard_error is None else 5 * found.standard_error.max()
            assert ignored.abs().max() <= 1e-6 * found.values.abs().max() + error

    def test_a_linear_model_is_told_exactly(self, asked: Explainer, linear: Question) -> None:
        """Whatever sums to f(x) - f(baseline) gives each entry its weight times its difference."""
        if not asked.complete:
            pytest.skip("promises no sum")
        (found,) = ask(asked, linear, (1,))
        weights = linear.model.last.weight[1].detach()  # type: ignore[attr-defined]
        expected = linear.players.pooled({"table": weights * (linear.inputs["table"] - linear.baseline["table"])})
        assert torch.allclose(found.values.double(), expected, rtol=1e-6, atol=1e-6)

    def test_a_missing_input_is_counted_or_named(self, asked: Explainer, questions: Any) -> None:
        """Never a number that comes of NaN."""
        question = questions["image and table"]
        image = question.inputs["image"].clone()
        image[2] = float("nan")
        lacking = replace(question, inputs={**question.inputs, "image": image})
        try:
            check(asked, lacking, ask(asked, lacking, (0,))[0])
        except ExplanationError as refusal:
            reason = str(refusal)
        else:
            return
        if answered(asked, question) is not None:
            assert "missing" in reason, reason

    def test_an_opaque_callable_is_answered_or_refused(self, asked: Explainer, questions: Any) -> None:
        """As members are that have no gradient."""
        for question in questions.values():
            network = question.model
            for found in answered(asked, about(lambda x, f=network: quietly(f, x), question.specs)) or ():
                check(asked, question, found)

    def test_rows_may_be_divided_each_in_its_own_way(self, asked: Explainer, questions: Any) -> None:
        """As image segments are; a player without an entry in a row has no share in it."""
        question = questions["image"]
        own = torch.zeros(ROWS, 2, 8, 8, dtype=torch.long)
        own[:, :, :3], own[:, :, 3:5], own[0, :, :5] = 1, 2, 1
        players = Players(("rest", "top", "middle"), {"image": own}, own=True)
        divided = replace(question, players=players)
        for found in answered(asked, divided) or ():
            check(asked, divided, found)
            if asked.local and found.values.shape[1]:
                assert abs(found.values[0, 2]) <= 1e-6
                alike = Players(players.names, {"image": own[1]})
                (alone,) = ask(asked, replace(question.at(slice(1, 2)), players=alike), (0,))
                _close(_row(found, 1), alone)


def _close(found: Attribution, other: Attribution) -> None:
    """The same up to rounding, or to what chance explains."""
    off = (found.values - other.values).abs()
    errors = [each.standard_error for each in (found, other) if each.standard_error is not None]
    allowed = 1e-4 * found.values.abs().amax(1, keepdim=True) + 1e-6 if found.values.shape[1] else 0
    assert (off <= sum((5 * error for error in errors), start=allowed)).all(), (found.values, other.values)


def _row(found: Attribution, row: int) -> Attribution:
    error = found.standard_error
    return replace(found, values=found.values[row : row + 1], standard_error=None if error is None else error[[row]])


def _outline(question: Question) -> list[Any]:
    """All that may not change, in a form that can be compared."""
    model = question.model
    assert isinstance(model, nn.Module)
    tensors = [*model.state_dict().values(), *question.inputs.values(), *question.background.values()]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        [module.training for module in model.modules()],
        [sorted(vars(module)) for module in model.modules()],
        [{hook: len(getattr(module, hook)) for hook in hooks} for module in model.modules()],
        [(each.requires_grad, None if each.grad is None else each.grad.tolist()) for each in model.parameters()],
        [(each.requires_grad, each.grad, each.tolist()) for each in tensors],
    ]
