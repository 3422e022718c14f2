"""One measure: means over rows that count, and their error."""

from __future__ import annotations

import math

import pytest
import torch

from autodl.explaining._quality_game import Found
from autodl.explaining._quality_measure import measured


def test_rows_that_are_not_defined_do_not_count() -> None:
    found = Found(torch.tensor([1.0, torch.nan, 2.0, 3.0]), torch.tensor([0.5, torch.nan, 0.7, torch.nan]))
    told = measured("deletion", found, False, "a sentence")
    assert told.value == pytest.approx(2)
    assert told.error == pytest.approx(1 / math.sqrt(3))
    assert told.random == pytest.approx(0.6)
    assert told.rows is not None
    assert told.rows.isnan().tolist() == [False, True, False, False]
    assert told.curve is None


def test_one_row_has_no_error() -> None:
    told = measured("pgi", Found(torch.ones(1), torch.zeros(1), {"share": torch.ones(2)}), True, "a sentence")
    assert math.isnan(told.error)
    assert told.curve is not None
    assert told.curve["share"].tolist() == [1, 1]
