from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autodl.attribution import Attribution, Players, Question
from autodl.errors import UnknownNameError
from autodl.explaining.explanation import Explanation
from autodl.predictor import Predictor

VALUES = torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 0.0]])


def explanation(error: bool = True) -> Explanation:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    players = Players(("age", "<b>"), {"x": torch.arange(2)})
    question = Question(lambda inputs: inputs["x"], {"x": x}, 0, {}, players, {"x": x[:1]}, {"x": x[:1]}, seed=3)
    found = Attribution(
        VALUES,
        torch.tensor(0.5),
        standard_error=VALUES.abs() / 10 if error else None,
        evaluations=1234,
        notes=("forced: layer 3",),
        explainer="shapley",
        output=torch.tensor([-0.5, 1.0, 3.5]),
        completeness_gap=torch.tensor([0.0, 0.0, 1e-3]),
    )
    other = Attribution(-VALUES, torch.tensor([0.0, 0.0, 0.0]), explainer="shapley", target=1, output=torch.zeros(3))
    frame = pd.DataFrame({"age": [1.0, 3.0, 5.0], "<b>": [2.0, 4.0, 6.0]}, index=["u", "v", "w"])
    return Explanation(
        (found, other), ("no", "yes"), question, frame, frame[:1], "probability", "left", "1 training row"
    )


def test_values_are_called_by_row_and_column() -> None:
    found = explanation()
    assert found.values.loc["u", "<b>"] == -2
    assert found.standard_error is not None
    assert found.standard_error.loc["w", "age"] == pytest.approx(0.3)
    assert found.base.tolist() == [0.5, 0.5, 0.5]
    assert found.predicted.tolist() == [-0.5, 1.0, 3.5]
    assert found.completeness_gap is not None
    assert found.completeness_gap[2] == pytest.approx(1e-3)
    assert len(found) == 3
    assert explanation(error=False).standard_error is None


def test_another_output_comes_into_view_by_name_or_position() -> None:
    found = explanation()
    assert found.output == "no"
    assert found.of("yes").values.loc["u", "<b>"] == 2
    assert found.of(1).completeness_gap is None
    with pytest.raises(UnknownNameError, match="no output is called 'yess'; did you mean 'yes'"):
        found.of("yess")


def test_what_is_true_is_told_whatever_is_explained() -> None:
    """A class by its name, be it explained or not; of several targets the one in view."""
    classes = replace(explanation(), truth=np.array([1, -1, 0]), classes=("maybe", "sure"))
    assert [classes.true(row) for row in range(3)] == ["sure", None, "maybe"]
    several = replace(explanation(), truth=np.array([[1.0, 2.0], [np.nan, 3.0], [5.0, 6.0]]))
    assert [several.true(0), several.true(1), several.of(1).true(1)] == [1.0, None, 3.0]
    assert replace(several, quantity="output").true(0) is None
    assert explanation().true(0) is None


def test_importance_is_the_mean_size_largest_first() -> None:
    table = explanation().importance()
    assert list(table.index) == ["age", "<b>"]
    assert table["importance"].tolist() == pytest.approx([1.5, 2 / 3])
    assert table["standard_error"].tolist() == pytest.approx([np.std([1, 0.5, 3], ddof=1) / 3**0.5, 2 / 3])


def test_the_summary_tells_method_baseline_error_and_what_was_forced() -> None:
    text = explanation().summary()
    for said in (
        "shapley",
        "'no'",
        "1 training row",
        "gap 0.001",
        "standard error 0.3",
        "1,234",
        "seed 3",
        "forced: layer",
    ):
        assert said in text


def test_json_holds_every_number_with_its_name() -> None:
    told = json.loads(json.dumps(explanation().to_json()))
    assert told["largest_gap"] == pytest.approx(1e-3)
    assert told["outputs"][0]["players"] == ["age", "<b>"]
    assert told["outputs"][1]["values"][0] == [-1, 2]
    assert told["outputs"][1]["standard_error"] is None
    assert set(told["versions"]) == {"torch-autodl", "torch", "captum"}


def test_csv_has_a_line_a_row_player_and_output() -> None:
    lines = list(csv.DictReader(io.StringIO(explanation().to_csv())))
    assert len(lines) == 12
    first = next(each for each in lines if each["row"] == "w" and each["player"] == "age" and each["output"] == "no")
    assert float(first["value"]) == 3
    assert float(first["standard_error"]) == pytest.approx(0.3)


def test_quality_stands_beside_a_random_explanation() -> None:
    table = explanation().quality(names=["sparseness"])
    assert list(table.index) == ["sparseness"]
    assert {"value", "random", "error"} <= set(table.columns)


def test_what_is_explained_again_is_measured_too(networks: Predictor, rows: pd.DataFrame) -> None:
    found = networks.explain(rows, explainer="saliency", rows=4)
    names = ["sensitivity_max", "parameter_randomisation"]
    assert not set(names) & set(found.quality().index)
    assert list(found.quality(again=True, names=names).index) == names
