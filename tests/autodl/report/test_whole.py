from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.explanation import Explanation
from autodl.report.whole import beeswarm, classes, dependence, importance, interaction_matrix, partner, square


def test_importance_is_the_mean_size_with_its_interval_and_error(table: Explanation) -> None:
    figure = importance(table, top=5)
    sizes = table.values.abs()
    expected = sizes.mean().sort_values(ascending=False)[:5]
    np.testing.assert_allclose(figure.data[0].x, expected)
    np.testing.assert_allclose(figure.data[0].error_x.array, 0.004)
    np.testing.assert_allclose(figure.data[1].error_x.array, 1.96 * sizes.sem()[expected.index])
    assert "60 rows" in figure.layout.title.text


def test_a_global_method_s_own_figures_are_drawn_with_their_error(make_tabular: Callable[..., Explanation]) -> None:
    values = torch.arange(8.0)[None] - 3
    figure = importance(make_tabular(values=values, standard_error=values.abs() / 10))
    np.testing.assert_allclose(figure.data[0].x, [4, -3, 3, -2, 2, -1, 1, 0])
    np.testing.assert_allclose(figure.data[0].error_x.array, np.abs(figure.data[0].x) / 10)
    assert len(figure.data) == 1


def test_a_beeswarm_has_every_share_once(table: Explanation) -> None:
    figure = beeswarm(table)
    x = np.concatenate([trace.x for trace in figure.data])
    np.testing.assert_allclose(np.sort(x), np.sort(table.values.to_numpy().ravel().astype(np.float32)))
    places = (np.concatenate([trace.y for trace in figure.data]) / 1000).round().astype(int)
    np.testing.assert_array_equal(np.bincount(places), np.full(8, 60))
    missing = [trace for trace in figure.data if isinstance(trace.marker.color, str)]
    assert [len(trace.x) for trace in missing] == [3]


def test_a_beeswarm_of_20_columns_and_1000_rows_is_small(make_tabular: Callable[..., Explanation]) -> None:
    told = make_tabular(rows=1200, columns=20)
    figure = beeswarm(told)
    assert len(figure.to_json()) < 500_000
    assert "1000 of 1200 rows" in figure.layout.meta["title"]
    assert figure.to_json() == beeswarm(told).to_json()


@pytest.mark.parametrize(("name", "colour"), [("feature 7", "feature 3"), ("feature 3", "feature 6")])
def test_dependence_draws_shares_against_cells(table: Explanation, name: str, colour: str) -> None:
    figure = dependence(table, name, colour)
    y = np.concatenate([trace.y for trace in figure.data])
    np.testing.assert_allclose(np.sort(y), np.sort(table.values[name].to_numpy().astype(np.float32)))
    assert f"coloured by {colour}" in figure.layout.meta["title"]


def test_dependence_on_a_date_has_an_axis_of_dates_and_says_what_is_left_out(table: Explanation) -> None:
    assert all(
        np.issubdtype(trace.x.dtype, np.datetime64) for trace in dependence(table, "feature 4", "feature 7").data
    )
    assert dependence(table, "feature 5").layout.xaxis.title.text == "feature 5 (3 missing left out)"


def test_dependence_needs_a_column(table: Explanation) -> None:
    with pytest.raises(UnknownNameError, match="feature 7"):
        dependence(table, "feature 77")
    with pytest.raises(ExplanationError, match="'feature 7' is none"):
        dependence(replace(table, rows=table.rows.drop(columns="feature 7")), "feature 7")


def test_the_partner_is_the_one_that_interactions_name(make_tabular: Callable[..., Explanation]) -> None:
    both = torch.zeros(60, 8, 8)
    both[:, 7, 4] = both[:, 4, 7] = -1.0
    assert partner(make_tabular(interactions=both), "feature 7") == "feature 4"


def test_without_interactions_the_partner_explains_what_like_rows_differ_in(
    make_tabular: Callable[..., Explanation],
) -> None:
    told = make_tabular(rows=400, interactions=None)
    x = told.rows[["feature 7", told.players[0]]].to_numpy()
    values = torch.zeros(400, 8)
    values[:, 7] = torch.tensor(x[:, 0] * 3 + (x[:, 0] - 50) * (x[:, 1] - 50) / 10)
    told = make_tabular(rows=400, interactions=None, values=values)
    assert partner(told, "feature 7") == told.players[0]


def test_a_single_column_has_no_partner_and_no_colour(make_tabular: Callable[..., Explanation]) -> None:
    told = replace(make_tabular(), rows=make_tabular().rows[["feature 7"]])
    assert partner(told, "feature 7") is None
    assert len(dependence(told, "feature 7").data) == 1


def test_the_matrix_of_interactions_is_symmetric_with_an_empty_diagonal(table: Explanation) -> None:
    z = interaction_matrix(table).data[0].z
    np.testing.assert_array_equal(z, z.T)
    assert np.isnan(np.diag(z)).all()
    told = table.attribution.interactions
    assert told is not None
    np.testing.assert_allclose(z[0, 1], float(told.abs().mean(0)[0, 1]), rtol=1e-6)
    np.testing.assert_allclose(interaction_matrix(table, 3).data[0].z[0, 1], float(told[3, 0, 1]), rtol=1e-6)
    assert interaction_matrix(table, 3).data[0].zmin < 0 == interaction_matrix(table).data[0].zmin


def test_interactions_that_were_not_worked_out_are_refused(make_tabular: Callable[..., Explanation]) -> None:
    with pytest.raises(ExplanationError, match="shapley and interactions"):
        interaction_matrix(make_tabular(interactions=None))


def test_a_matrix_of_zeros_can_be_drawn() -> None:
    assert square(np.zeros((2, 2)), ["a", "b"], signed=True).data[0].zmax == 1


def test_classes_are_stacked_to_the_sum_of_their_mean_sizes(table: Explanation) -> None:
    figure = classes(table)
    assert [trace.name for trace in figure.data] == ["no", "yes", "&lt;b&gt;perhaps&lt;/b&gt;"]
    total = pd.concat([table.of(focus).values.abs().mean() for focus in range(3)], axis=1).sum(axis=1)
    np.testing.assert_allclose(sum(trace.x for trace in figure.data), total.sort_values(ascending=False))
