from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from autodl.explaining.findings import Told, in_view
from autodl.predictor import Predictor


def test_each_row_is_found_in_its_part() -> None:
    first, second = cast(Any, "first"), cast(Any, "second")
    told = Told({0: (first, np.array([4, 9])), 1: (second, np.array([0]))})
    assert told.of(9) == ("first", 1)
    assert told.of(0) == ("second", 0)
    assert told.of(5) is None


def test_a_row_is_told_of_the_class_that_is_said_of_it(
    networks: Predictor, numbers: Predictor, rows: pd.DataFrame
) -> None:
    found = networks.explain(rows, background=1)
    said = [found.outputs[in_view(found, row)] for row in range(len(rows))]
    assert said == networks.predict_proba(rows).idxmax(axis=1).tolist()
    assert in_view(found.of(0), 0) == in_view(found.of(1), 0)
    single = networks.explain(rows, outputs=["no"], background=1)
    assert in_view(single, 0) == 0
    assert in_view(numbers.explain(rows.drop(columns="left"), background=1), 3) == 0
