from __future__ import annotations

import numpy as np
import pytest
import torch

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.explaining.quality import Measure
from autodl.report.quality import agreement, deletion, deletion_curve, measures

SHARE = torch.linspace(0, 1, 5)


def measured(name: str, curve: dict[str, torch.Tensor] | None = None) -> Measure:
    return Measure(name, 0.12345, 0.5, 0.01, False, "lower is <b>better</b>", curve=curve)


def test_measures_stand_beside_a_random_explanation_s(table: Explanation) -> None:
    alone = Measure("sparseness", 0.7, float("nan"), float("nan"), True, "")
    cells = measures(table, [measured("infidelity"), alone]).data[0].cells["values"]
    assert [list(column) for column in cells] == [
        ["infidelity", "sparseness"],
        ["0.123 ± 0.01", "0.7"],
        ["0.5", "–"],
        ["lower is &lt;b&gt;better&lt;/b&gt;", ""],
    ]


def test_measured_curves_are_drawn_beside_random_ones(table: Explanation) -> None:
    curve = {"share": SHARE, "explanation": 1 - SHARE**0.5, "random": 1 - SHARE}
    figure = deletion(table, [measured("deletion", curve), measured("pgi", curve), measured("insertion", curve)])
    assert [trace.name for trace in figure.data] == ["deletion", "random deletion", "insertion", "random insertion"]
    np.testing.assert_allclose(figure.data[0].y, curve["explanation"])
    assert [trace.line.dash for trace in figure.data] == ["solid", "dot"] * 2
    with pytest.raises(ExplanationError, match="measure deletion"):
        deletion(table, [measured("deletion"), measured("pgi", curve)])


def test_curves_of_rows_are_drawn_as_their_mean(table: Explanation) -> None:
    figure = deletion_curve(table, SHARE.numpy(), {"a": np.stack([np.zeros(5), np.ones(5)])})
    np.testing.assert_array_equal(figure.data[0].y, np.full(5, 0.5))


def test_agreement_is_from_minus_1_to_1_with_its_figures(table: Explanation) -> None:
    figure = agreement(["a", "<i>b</i>"], np.array([[1, 0.25], [0.25, 1]]), "ten rows")
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-1, 1)
    assert figure.data[0].text[0][1] == "0.25"
    assert figure.layout.meta["caption"] == "ten rows"
