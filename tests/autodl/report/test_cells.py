from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.explanation import Explanation
from autodl.report._cells import (
    SHOWN,
    cell,
    checked,
    coded,
    column,
    errors,
    is_picture,
    is_sound,
    is_table,
    is_text,
    local,
    player,
    row_name,
    shares,
)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2, None], "number"),
        (["1", "2.5", None], "number"),
        ([True, False], "category"),
        (["a", "b"], "category"),
        (["1", "b"], "category"),
        (["2021-01-02", None, "2021-03-04"], "date"),
        (pd.to_datetime(["2021-01-02", None]), "date"),
        (pd.to_datetime(["2021-01-02"]).tz_localize("Europe/Paris"), "date"),
        ([None, None], "category"),
    ],
)
def test_kinds_are_told_apart_in_frames_and_in_words(cells: object, kind: str) -> None:
    assert coded(pd.Series(cells, dtype=object if isinstance(cells, list) else None)).kind == kind  # type: ignore[call-overload]


def test_dates_are_seconds_and_missing_ones_stay_missing() -> None:
    found = coded(pd.Series(["1970-01-02", None]))
    np.testing.assert_array_equal(found.numbers, [86_400, np.nan])
    assert found.axis[0] == np.datetime64("1970-01-02")
    assert np.isnat(found.axis[1])
    assert found.cells == ("1970-01-02", "missing")


def test_rare_categories_are_told_together() -> None:
    cells = [f"kind {each}" for each in range(12) for _ in range(20 - each)]
    found = coded(pd.Series(cells))
    assert found.labels == (*(f"kind {each}" for each in range(SHOWN)), "other")
    assert found.labels[int(found.numbers[-1])] == "other"
    assert found.cells[-1] == "kind 11"


def test_ranks_go_from_0_to_1_with_ties_alike() -> None:
    found = coded(pd.Series([5.0, 1.0, 5.0, 3.0, np.nan]))
    np.testing.assert_array_equal(found.ranks, [1, 0, 1, 0.5, np.nan])
    np.testing.assert_array_equal(coded(pd.Series([4.0, 4.0])).ranks, [0, 0])


def test_a_player_that_is_no_column_or_a_picture_has_no_cells(table: Explanation) -> None:
    images = pd.Series([np.zeros((2, 2))] * len(table.rows), index=table.rows.index)
    told = replace(table, rows=table.rows.assign(photo=images))
    assert column(told, "photo") is None
    assert column(told, "photo segment 3") is None
    assert cell(told, 0, "photo") is None
    assert cell(told, 0, "photo segment 3") is None
    assert cell(told, 0, "feature 5") == "missing"
    assert column(told, "feature 7") is not None


def test_shares_of_nobody_are_0_and_none_at_all_are_refused(make_tabular: Callable[..., Explanation]) -> None:
    values = torch.full((60, 8), float("nan"))
    assert not shares(make_tabular(values=values)).any()
    assert not np.isnan(errors(make_tabular(standard_error=values))).any()  # type: ignore[arg-type]
    with pytest.raises(ExplanationError, match="shapley gives none"):
        shares(make_tabular(values=values[:, :0]))
    with pytest.raises(ExplanationError, match="all rows together"):
        local(make_tabular(values=values[:1]))


def test_rows_and_players_that_are_not_there_are_refused(table: Explanation) -> None:
    assert checked(table, -1) == 59
    for row in (60, -61):
        with pytest.raises(ExplanationError, match="from 0 to 59"):
            checked(table, row)
    assert player(table, "feature 3") == 3
    with pytest.raises(UnknownNameError, match="did you mean 'feature 3'"):
        player(table, "feature 33")
    assert row_name(table, 2) == "patient 2"


def test_inputs_are_told_apart_by_their_axes(make_mixed: Callable[..., Explanation], picture: Explanation) -> None:
    told = make_mixed()
    for kind, name in ((is_table, "table"), (is_picture, "photo"), (is_text, "review"), (is_sound, "call")):
        assert [key for key in told.question.names if kind(told, key)] == [name]
    free = replace(picture, question=replace(picture.question, specs={}))  # of a module of the user's own
    assert is_picture(free, "photo")
    assert not any(kind(free, "photo") for kind in (is_table, is_text, is_sound))


def test_texts_and_sounds_are_no_categories(make_mixed: Callable[..., Explanation]) -> None:
    told = make_mixed()
    assert column(told, "age") is not None
    assert [column(told, name) for name in ("review", "call", "photo")] == [None] * 3
