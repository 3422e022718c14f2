from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from autodl.explaining.finding import find
from autodl.predictor import Predictor
from autodl.report import _tables


def test_ways_and_training_rows_are_told_in_the_users_own_values(networks: Predictor, rows: pd.DataFrame) -> None:
    found = find(networks.subject, networks.explain(rows, background=2), None)
    assert found.counterfactual is not None
    assert found.influence is not None
    told = found.counterfactual.of(0)
    assert told is not None
    (way,) = _tables.counterfactual(*told)
    assert "the nearest change that takes probability of left" in way.html
    assert any(name in way.html for name in ("age", "plan"))
    pulled = found.influence.of(0)
    assert pulled is not None
    table = _tables.influence(*pulled, ["plan", "age"]).html
    assert table.index("plan") < table.index("age")
    assert "+100%" in table or "-100%" in table


def test_where_no_training_row_shows_a_way_it_is_said(networks: Predictor, rows: pd.DataFrame) -> None:
    found = networks.explain(rows, explainer="counterfactual", rows=[0], outputs=["yes"], background=1)
    if not bool(found.attribution.found["reached"][0]):
        (said,) = _tables.counterfactual(found, 0)
        assert "No training row shows a way to another answer." in said.html


def test_pictures_of_training_rows_are_small_pictures() -> None:
    cells = pd.Series([np.zeros((4, 4), np.uint8), None], dtype=object)
    html = _tables._thumbnails(cells, [0, 1], "<photo>")
    assert html.count("<img ") == 1
    assert 'src="data:image/png;base64,' in html
    assert "missing" in html
    assert "&lt;photo&gt;" in html


def test_measures_stand_beside_random_ones(networks: Predictor, rows: pd.DataFrame) -> None:
    found = find(networks.subject, networks.explain(rows, background=2), None)
    html = _tables.measures(found.quality)
    assert "deletion" in html
    assert "a random one" in html


def test_sounds_are_no_pictures_and_long_texts_are_cut(networks: Predictor, rows: pd.DataFrame) -> None:
    found = find(networks.subject, networks.explain(rows, background=2), None).influence
    assert found is not None
    told = found.of(0)
    assert told is not None
    count = len(told[0].background)
    sounds = pd.Series([np.zeros(99, np.int16)] * count, dtype=object, index=told[0].background.index)
    texts = pd.Series(["word " * 500] * count, index=told[0].background.index)
    known = replace(
        told[0],
        rows=told[0].rows.assign(call="a.wav", text="x" * 500),
        background=told[0].background.assign(call=sounds, text=texts),
    )
    html = _tables.influence(known, told[1], ["call", "text", "age"]).html
    assert "<img" not in html
    assert "call" not in html
    assert "word word" in html
    assert len(html) < 8_000
