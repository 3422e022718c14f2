from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from autodl.explaining.contributions import measured
from autodl.metrics import get_metric
from autodl.records import Task

ROWS = 120
BINARY = Task("y", "binary", ("no", "yes"), "accuracy")
NUMBER = Task("y", "regression", metric="r2")
GROUPS = {"left": ["left-1"], "right": ["right-1", "right-2"]}


def signs(rows: int = ROWS, seed: int = 0) -> dict[str, Tensor]:
    """Two inputs of one sign each; the second has two views, of which the last is of no use."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 2, (2, rows), generator=generator).float() * 2 - 1
    return {
        "left-1": drawn[0].view(-1, 1),
        "right-1": drawn[1].view(-1, 1, 1).expand(-1, 2, 3).clone(),
        "right-2": torch.randn(rows, 4, generator=generator),
    }


def read(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both signs; 0 of an input that is missing, which all its views must be at once."""
    gone = inputs["right-1"].isnan().flatten(1).all(1)
    assert torch.equal(gone, inputs["right-2"].isnan().all(1))
    return inputs["left-1"][:, 0].nan_to_num(0.0), inputs["right-1"][:, 0, 0].nan_to_num(0.0)


def of_logit(logit: Tensor) -> Tensor:
    return torch.stack([-logit, logit], 1).div(2).softmax(1)


def exclusive_or(inputs: Mapping[str, Tensor]) -> Tensor:
    left, right = read(inputs)
    return of_logit(4 * left * right)


def total(inputs: Mapping[str, Tensor]) -> Tensor:
    left, right = read(inputs)
    return of_logit(3 * left + 2 * right)


def classes(outputs: Tensor) -> np.ndarray:
    return np.asarray(outputs.argmax(1))


def test_an_exclusive_or_is_all_interaction() -> None:
    inputs = signs()
    truth = classes(exclusive_or(inputs))
    found = measured(exclusive_or, inputs, GROUPS, truth, BINARY, get_metric("accuracy", BINARY))
    assert found["emap"]["interaction"] == pytest.approx(1, abs=0.02)
    assert found["emap"]["full"] == 1
    assert found["emap"]["additive"] < 0.7
    assert found["emap"]["low"] > 0.2
    assert found["emap"]["low"] <= found["emap"]["value"] <= found["emap"]["high"]
    ((_, _, together),) = found["pairs"]
    values = found["shapley"]["values"]
    assert together == pytest.approx(2 * values["left"])  # neither does anything alone
    assert values["left"] == pytest.approx(values["right"])


def test_a_sum_has_no_interaction() -> None:
    """Of its log-odds; and the additive model is the model."""
    inputs = signs()
    truth = classes(total(inputs))
    found = measured(total, inputs, GROUPS, truth, BINARY, get_metric("log_loss", BINARY))
    assert found["emap"]["interaction"] == pytest.approx(0, abs=1e-9)
    assert found["emap"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["emap"]["additive"] == pytest.approx(found["emap"]["full"], abs=1e-6)


@pytest.mark.parametrize(("form", "expected"), [("sum", 0.0), ("product", 1.0)])
def test_three_inputs(form: str, expected: float) -> None:
    inputs = {name: torch.randn(60, 1, generator=torch.Generator().manual_seed(n)) for n, name in enumerate("abc")}
    inputs["c"] = inputs["c"].sign()
    inputs = {name: x - x.mean() for name, x in inputs.items()}

    def model(seen: dict[str, Tensor]) -> Tensor:
        a, b, c = (seen[name].nan_to_num(0.0) for name in "abc")
        return a + 2 * b + c if form == "sum" else a * b * c

    truth = model(inputs)[:, 0].numpy()
    groups = {name: [name] for name in "abc"}
    found = measured(model, inputs, groups, truth, NUMBER, get_metric("r2", NUMBER))
    assert found["emap"]["interaction"] == pytest.approx(expected, abs=0.1 if expected else 1e-9)
    assert len(found["pairs"]) == 3
    assert list(found["shares"]) == ["all rows"]
    if form == "sum":
        assert found["shares"]["all rows"]["b"] > 0.35


def test_scores_are_shared_out_and_the_answer_is_json() -> None:
    inputs = signs()
    truth = classes(total(inputs))
    found = measured(total, inputs, GROUPS, truth, BINARY, get_metric("log_loss", BINARY))
    shapley = found["shapley"]
    assert shapley["empty"] == pytest.approx(np.log(2))
    assert shapley["empty"] + sum(shapley["values"].values()) == pytest.approx(shapley["full"])
    assert shapley["values"]["left"] < 0  # a loss falls by what is of use
    low, high = shapley["intervals"]["left"]
    assert low < shapley["values"]["left"] < high
    assert found["rows"] == ROWS
    assert set(found["shares"]) == {"no", "yes"}
    for each in found["shares"].values():
        assert sum(each.values()) == pytest.approx(1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_seed_decides() -> None:
    inputs = signs()
    first, again, other = (
        measured(total, inputs, GROUPS, classes(total(inputs)), BINARY, get_metric("log_loss", BINARY), seed=seed)
        for seed in (1, 1, 2)
    )
    assert first.pop("emap") == pytest.approx(again.pop("emap"), abs=1e-12)
    assert first == again
    assert first["shapley"]["intervals"] != other["shapley"]["intervals"]


def test_little_time_means_fewer_rows_which_are_told() -> None:
    inputs = signs()
    metric = get_metric("log_loss", BINARY)
    found = measured(total, inputs, GROUPS, classes(total(inputs)), BINARY, metric, seconds=0.0)
    assert found["rows"] == found["emap"]["rows"] == 8


def test_one_input_has_nobody_to_interact_with() -> None:
    found = measured(
        lambda x: of_logit(x["a"][:, 0].nan_to_num(0.0)),
        {"a": torch.randn(30, 1)},
        {"a": ["a"]},
        np.arange(30) % 2,
        BINARY,
        get_metric("log_loss", BINARY),
    )
    assert found["emap"] is None
    assert found["pairs"] == []


def test_what_has_no_value_is_none() -> None:
    inputs = signs()
    truth = np.zeros(ROWS, dtype=np.int64)  # one class only: there is no curve
    found = measured(total, inputs, GROUPS, truth, BINARY, get_metric("roc_auc", BINARY))
    assert found["shapley"]["full"] is None
    assert found["emap"]["value"] is None
    assert json.dumps(found, allow_nan=False)
