from __future__ import annotations

import pytest
import torch

from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.request import build, chosen_rows, first_focus, loss_of, positions
from autodl.records import Task


def test_rows_are_all_or_spread_or_named() -> None:
    assert chosen_rows(None, 3).tolist() == [0, 1, 2]
    assert chosen_rows(3, 11).tolist() == [0, 5, 10]
    assert chosen_rows(5, 2).tolist() == [0, 1]
    assert chosen_rows((2, 0), 3).tolist() == [2, 0]
    assert chosen_rows(4, 0).tolist() == []
    with pytest.raises(ExplanationError, match="positions below 3, however -1 came"):
        chosen_rows([-1], 3)


def test_outputs_are_found_by_name() -> None:
    assert positions(("a", "b"), None) == [0, 1]
    assert positions(("a", "b"), ["b"]) == [1]
    with pytest.raises(UnknownNameError, match="no output is called 'c'"):
        positions(("a", "b"), ["c"])


def test_settings_are_checked() -> None:
    assert build("integrated_gradients", {"steps": 30}).settings["steps"] == 30
    with pytest.raises(UnknownNameError, match="no setting of integrated_gradients is called 'step'; did you mean"):
        build("integrated_gradients", {"step": 30})
    with pytest.raises(ExplanationError, match="'steps' of integrated_gradients must be"):
        build("integrated_gradients", {"steps": "many"})


def test_the_positive_class_or_the_one_said_most_often_is_in_view() -> None:
    outputs = [torch.tensor([0.9, 0.1, 0.2]), torch.tensor([0.05, 0.1, 0.3]), torch.tensor([0.05, 0.8, 0.5])]
    three = Task("y", "multiclass", ("a", "b", "c"))
    assert first_focus(three, [0, 1, 2], list(outputs)) == 2
    assert first_focus(Task("y", "binary", ("no", "yes")), [0, 1], list(outputs[:2])) == 1
    assert first_focus(Task("y", "multioutput", further=("z",)), [0, 1], list(outputs[:2])) == 0
    assert first_focus(three, [1], [outputs[1]]) == 0
    assert first_focus(Task("y", "quantile", quantiles=(0.1, 0.4, 0.9)), [0, 1, 2], list(outputs)) == 1


def test_what_a_wrong_prediction_costs() -> None:
    likely, classes = torch.tensor([[0.25, 0.75]]), torch.tensor([1])
    two = Task("y", "binary", ("no", "yes"))
    assert loss_of(two, "probability")(likely, classes).item() == pytest.approx(0.28768, abs=1e-4)
    assert loss_of(two, "score")(likely.log(), classes).item() == pytest.approx(0.28768, abs=1e-4)
    labels = Task("y", "multilabel", further=("z",))
    told = loss_of(labels, "probability")(torch.tensor([[0.5, 0.25]]), torch.tensor([[1.0, 0.0]]))
    assert told.item() == pytest.approx((0.693147 + 0.287682) / 2, abs=1e-4)
    assert loss_of(Task("y", "regression"), "number")(torch.tensor([[3.0]]), torch.tensor([5.0])).item() == 4
    with pytest.raises(ExplanationError, match="however scores came; take 'number'"):
        loss_of(Task("y", "regression"), "score")
