from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers.partial_dependence import PartialDependence

INDEX = torch.tensor([0, 1, 2, 2, 2, 3])  # two numbers, a category of three, a number that is not looked at


def model(inputs: dict[str, Tensor]) -> Tensor:
    x = inputs["table"]
    out = x[:, 0] ** 2 + x[:, 0] * x[:, 1] + x[:, 2:5] @ torch.tensor([1.0, 2.0, 3.0], dtype=x.dtype)
    return torch.stack([out, -2 * out], 1)


def table(rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    category = torch.eye(3, dtype=torch.float64)[torch.randint(3, (rows,), generator=generator)]
    return torch.cat([numbers[:, :2], category, numbers[:, 2:]], 1)


def question(rows: int = 6, **changes: Any) -> Question:
    background = table(30, 1)
    asked = Question(
        model=model,
        inputs={"table": table(rows, 2)},
        target=0,
        specs={},
        players=Players(("a", "b", "kind", "idle"), {"table": INDEX}),
        background={"table": background},
        baseline={"table": background.mean(0, keepdim=True)},
    )
    return dataclasses.replace(asked, **changes)


def test_every_curve_is_the_output_with_the_donors_entries() -> None:
    asked = question()
    found = PartialDependence(points=7).attribute(asked)
    curves = found.found["curves"]
    assert list(curves) == ["a", "b", "kind", "idle"]
    for player, curve in enumerate(curves.values()):
        for point, donor in enumerate(curve["donors"].tolist()):
            x = asked.inputs["table"].clone()
            x[:, player == INDEX] = asked.background["table"][donor][player == INDEX]
            torch.testing.assert_close(curve["ice"][:, point], model({"table": x})[:, 0])
        torch.testing.assert_close(curve["mean"], curve["ice"].mean(0))
    assert [curve["ordered"] for curve in curves.values()] == [True, True, False, True]
    assert curves["kind"]["ale"] is None
    assert len(curves["kind"]["donors"]) == 3
    assert int(curves["kind"]["counts"].sum()) == 30


def test_values_are_the_spread_of_the_mean_curves() -> None:
    found = PartialDependence().attribute(question())
    for player, curve in enumerate(found.found["curves"].values()):
        every = curve["mean"].repeat_interleave(curve["counts"])
        torch.testing.assert_close(found.values[0, player], every.std(correction=0))
    assert found.values[0, 3] < 1e-12
    assert found.standard_error is not None
    assert found.standard_error[0, 3] < 1e-12


def test_the_standard_error_is_the_spread_over_fresh_rows() -> None:
    """Where a curve is not flat but for chance, as that of b is: its mean slope is 0."""
    explainer = PartialDependence(points=5)
    found = [explainer.attribute(question(inputs={"table": table(50, 100 + seed)})) for seed in range(200)]
    spread = torch.cat([each.values for each in found]).std(0)
    told = torch.cat([each.standard_error for each in found]).square().mean(0).sqrt()  # type: ignore[misc]
    torch.testing.assert_close(told[0], spread[0], rtol=0.15, atol=0)
    assert told[1] > spread[1]


def test_centred_curves_start_from_zero_and_weigh_the_same() -> None:
    plain, centred = (PartialDependence(centred=centred).attribute(question()) for centred in (False, True))
    torch.testing.assert_close(plain.values, centred.values)
    for name, curve in centred.found["curves"].items():
        assert bool((curve["ice"][:, 0] == 0).all())
        ice = plain.found["curves"][name]["ice"]
        torch.testing.assert_close(curve["ice"], ice - ice[:, :1])


@pytest.mark.parametrize("memory", [1, 777, 5000])
def test_memory_changes_nothing(memory: int) -> None:
    one, other = (PartialDependence().attribute(question(4, memory=each)) for each in (2**26, memory))
    torch.testing.assert_close(one.values, other.values)
    for name, curve in one.found["curves"].items():
        torch.testing.assert_close(curve["ice"], other.found["curves"][name]["ice"])
        torch.testing.assert_close(curve["ale"], other.found["curves"][name]["ale"])


def test_several_outputs_share_their_points() -> None:
    one, other = PartialDependence().attribute_all(question(), [0, 1])
    torch.testing.assert_close(2 * one.values, other.values)
    torch.testing.assert_close(-2 * one.found["curves"]["a"]["ale"], other.found["curves"]["a"]["ale"])


def test_a_single_row_has_curves_and_no_error() -> None:
    found = PartialDependence().attribute(question(1))
    assert found.standard_error is None
    assert "One row" in found.notes[0]


def test_what_has_no_values_in_common_is_refused() -> None:
    own = Players(("a",), {"table": torch.zeros(6, 6, dtype=torch.long)}, own=True)
    assert "segments" in str(PartialDependence().objection(question(players=own)))
    asked = question()
    asked.inputs["table"][2] = torch.nan
    assert "missing" in str(PartialDependence().objection(asked))
    assert PartialDependence().objection(question()) is None
