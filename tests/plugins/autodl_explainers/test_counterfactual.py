from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers.counterfactual import Counterfactual

INDEX = torch.tensor([0, 1, 1, 2, 3])  # the second player is a category of two, the last one is not looked at


def score(x: Tensor) -> Tensor:
    return torch.tanh(x[:, 0] * 2 + x[:, 1] - x[:, 2] + x[:, 0] * x[:, 3])


def classes(inputs: dict[str, Tensor]) -> Tensor:
    share = torch.sigmoid(score(inputs["table"]))
    return torch.stack([1 - share, share], 1)


def number(inputs: dict[str, Tensor]) -> Tensor:
    return score(inputs["table"]).unsqueeze(1)


def table(rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    x[:, 1:3] = torch.eye(2, dtype=torch.float64)[torch.randint(2, (rows,), generator=generator)]
    return x


def question(rows: int = 8, **changes: Any) -> Question:
    background = table(25, 1)
    asked = Question(
        model=classes,
        inputs={"table": table(rows, 2)},
        target=1,
        specs={},
        players=Players(("a", "kind", "b", "idle"), {"table": INDEX}),
        background={"table": background},
        baseline={"table": background.mean(0, keepdim=True)},
    )
    return dataclasses.replace(asked, **changes)


@pytest.mark.parametrize("target", [0, 1])
def test_another_class_becomes_the_likeliest(target: int) -> None:
    asked = question(target=target)
    found = Counterfactual().attribute(asked)
    told = found.found
    assert bool(told["reached"].all())
    assert torch.equal(classes(told["inputs"]).argmax(1), 1 - classes(asked.inputs).argmax(1))  # type: ignore[arg-type]
    torch.testing.assert_close(told["outputs"], classes(told["inputs"]))
    assert found.values.shape == told["changed"].shape == (8, 4)
    assert not told["changed"][:, 3].any()


def test_every_value_is_the_rows_own_or_its_donors() -> None:
    asked = question()
    told = Counterfactual().attribute(asked).found
    changed = told["changed"][:, INDEX]
    x, background = asked.inputs["table"], asked.background["table"]
    assert torch.equal(told["inputs"]["table"], torch.where(changed, background[told["donor"]], x))
    spread = background.std(0, correction=0)
    for row in range(8):
        off = ((told["inputs"]["table"][row] - x[row]).abs() / spread).tolist()
        mean = (off[0] + (off[1] + off[2]) / 2 + off[3] + off[4]) / 4
        assert told["distance"][row] == pytest.approx(int(told["changed"][row].sum()) + mean)


def test_values_are_what_giving_one_player_back_costs() -> None:
    asked = question()
    found = Counterfactual().attribute(asked)
    made = found.found["inputs"]["table"]
    for row, player in itertools.product(range(8), range(4)):
        back = torch.where(player == INDEX, asked.inputs["table"][row], made[row])
        fall = classes({"table": made[row : row + 1]}) - classes({"table": back.unsqueeze(0)})
        torch.testing.assert_close(found.values[row, player], fall[0, 1])
        if found.found["changed"][row, player]:  # without it the line is not crossed
            assert classes({"table": back.unsqueeze(0)})[0].argmax() == classes(asked.inputs)[row].argmax()  # type: ignore[arg-type]


@pytest.mark.parametrize("desired", ["higher", "lower", "either", "auto"])
def test_a_number_moves_by_as_much_as_is_asked_for(desired: str) -> None:
    asked = question(model=number, target=0)
    found = Counterfactual(desired=desired, shift=0.7).attribute(asked)
    spread = number(asked.background).std(correction=0)  # type: ignore[arg-type]
    moved = (found.found["outputs"] - number(asked.inputs))[:, 0] / spread  # type: ignore[arg-type]
    way = {"higher": moved, "lower": -moved}.get(desired, moved.abs())
    reached = found.found["reached"]
    assert bool((way[reached] >= 0.7).all())
    assert bool(reached.any())
    assert f"at least {0.7 * float(spread):.4g}" in found.notes[0]


def test_rows_without_a_counterfactual_are_told() -> None:
    found = Counterfactual(desired="higher", shift=2.0).attribute(question(model=number, target=0))
    lost = ~found.found["reached"]
    assert 0 < int(lost.sum()) < 8
    assert bool((found.found["donor"][lost] == -1).all())
    assert bool(found.found["distance"][lost].isnan().all())
    assert not found.found["changed"][lost].any()
    assert torch.equal(found.found["inputs"]["table"][lost], question().inputs["table"][lost])
    assert f"{int(lost.sum())} of 8 rows" in found.notes[1]


def test_an_output_that_never_moves_is_never_across() -> None:
    def constant(inputs: dict[str, Tensor]) -> Tensor:
        return torch.ones(len(inputs["table"]), 1)

    found = Counterfactual(shift=0.0).attribute(question(model=constant, target=0))
    assert not found.found["reached"].any()
    assert found.values.shape == (8, 4)


@pytest.mark.parametrize("immutable", ["a, kind", ("a", "kind")])
def test_immutable_players_stay(immutable: Any) -> None:
    asked = question()
    explainer = Counterfactual(immutable=immutable)
    assert explainer.objection(asked) is None
    assert Counterfactual.space["immutable"].allows(immutable)
    told = explainer.attribute(asked).found
    assert torch.equal(told["inputs"]["table"][:, :3], asked.inputs["table"][:, :3])
    assert bool(told["reached"].any())


@pytest.mark.parametrize("memory", [1, 777, 5000])
def test_memory_changes_nothing(memory: int) -> None:
    one, other = (Counterfactual().attribute(question(6, memory=each)) for each in (2**26, memory))
    torch.testing.assert_close(one.values, other.values)
    assert torch.equal(one.found["donor"], other.found["donor"])
    assert torch.equal(one.found["changed"], other.found["changed"])


def test_more_candidates_are_never_dearer() -> None:
    one, more = (Counterfactual(candidates=each).attribute(question()).found["distance"] for each in (1, 10))
    assert bool((more <= one).all())
    assert bool((more < one).any())


def test_segments_of_a_row_of_its_own_are_swapped() -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(3, (4, 1, 4, 4), generator=generator)
    images = torch.randn(14, 1, 4, 4, generator=generator)

    def model(inputs: dict[str, Tensor]) -> Tensor:
        bright = inputs["photo"].flatten(1).mean(1)
        return torch.stack([bright, -bright], 1)

    asked = Question(
        model=model,
        inputs={"photo": images[:4]},
        target=0,
        specs={},
        players=Players(("s", "t", "u"), {"photo": index}, own=True),
        background={"photo": images[4:]},
        baseline={"photo": images[:1]},
    )
    told = Counterfactual().attribute(asked).found
    assert bool(told["reached"].all())
    changed = torch.stack([told["changed"][row][index[row]] for row in range(4)])
    assert torch.equal(told["inputs"]["photo"], torch.where(changed, images[4:][told["donor"]], images[:4]))


def test_an_input_that_is_missing_may_be_put_in_whole() -> None:
    def model(inputs: dict[str, Tensor]) -> Tensor:
        there = 1.0 - inputs["photo"].flatten(1)[:, 0].isnan().float()
        return torch.stack([there, 0.5 * torch.ones_like(there)], 1)

    photo = torch.randn(2, 1, 2, 2)
    photo[1] = torch.nan
    asked = Question(
        model=model,
        inputs={"photo": photo},
        target=0,
        specs={},
        players=Players(("photo",), {"photo": torch.zeros(1, 2, 2, dtype=torch.long)}),
        background={"photo": torch.randn(3, 1, 2, 2)},
        baseline={"photo": torch.zeros(1, 1, 2, 2)},
    )
    assert Counterfactual().objection(asked) is None
    found = Counterfactual().attribute(asked)
    assert found.found["reached"].tolist() == [False, True]
    assert found.found["distance"][1] == 2
    assert found.values.tolist() == [[0.0], [1.0]]
    parts = Players(tuple("abcd"), {"photo": torch.arange(4).view(1, 2, 2)})
    assert "missing" in str(Counterfactual().objection(dataclasses.replace(asked, players=parts)))


def test_what_cannot_be_asked_is_refused_with_a_reason() -> None:
    assert "did you mean 'kind'" in str(Counterfactual(immutable="kinds").objection(question()))
    assert "every player is immutable" in str(Counterfactual(immutable="a,kind,b,idle").objection(question()))
    assert not Counterfactual.space["immutable"].allows(3)
    assert "single output" in str(Counterfactual(desired="class").objection(question(model=number)))
    assert Counterfactual(desired="class").objection(question()) is None
