from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.report.rows import bars, counterfactual, influence, inputs, table, waterfall
from autodl.report.style import LOWERS, RAISES


def test_a_waterfall_goes_from_the_base_to_the_prediction(table: Explanation) -> None:
    figure = waterfall(table, 5)
    bar = figure.data[0]
    base = bar.base.astype(float)
    ends = base + bar.x
    np.testing.assert_allclose(base[1:], ends[:-1])
    np.testing.assert_allclose([base[0], ends[-1]], [0.4, table.predicted[5]])
    assert (np.diff(np.abs(bar.x)) <= 0).all()
    assert [colour == RAISES for colour in bar.marker.color] == list(bar.x > 0)
    assert set(bar.marker.color) == {RAISES, LOWERS}
    np.testing.assert_allclose(bar.error_x.array, 0.004)
    np.testing.assert_allclose(figure.data[2].x, [0.4, table.predicted[5]])


def test_names_stand_beside_the_values_that_the_user_wrote(table: Explanation) -> None:
    labels = waterfall(table, 0).layout.yaxis.ticktext
    assert f"feature 6 = {table.rows['feature 6'].iloc[0]}" in labels
    assert "feature 5 = missing" in labels
    assert labels[0] == "nothing known"
    assert "patient 0" in waterfall(table, 0).layout.title.text
    assert "(true: yes)" in waterfall(table, 0).layout.title.text.replace("<br>", " ")


def test_the_rest_is_summed_with_its_error_and_never_a_single_one(make_tabular: Callable[..., Explanation]) -> None:
    told = make_tabular(columns=20)
    bar = bars(told, 1, top=12).data[0]
    assert bars(told, 1, top=12).layout.yaxis.ticktext[-1] == "8 others"
    values = np.sort(np.abs(told.values.iloc[1]))[::-1]
    np.testing.assert_allclose(np.abs(bar.x[:12]), values[:12])
    np.testing.assert_allclose(bar.x.sum(), told.values.iloc[1].sum())
    np.testing.assert_allclose(bar.error_x.array[-1], 0.004 * np.sqrt(8))
    assert len(bars(told, 1, top=19).data[0].x) == 20


def test_a_waterfall_is_refused_where_values_need_not_sum(make_tabular: Callable[..., Explanation]) -> None:
    told = make_tabular(completeness_gap=None, standard_error=None)
    with pytest.raises(ExplanationError, match="take bars"):
        waterfall(told, 0)
    assert bars(told, 0).data[0].error_x.array is None
    with pytest.raises(ExplanationError, match="all rows together"):
        bars(make_tabular(values=torch.zeros(1, 8)), 0)


def test_what_values_miss_is_drawn_as_a_gap(make_tabular: Callable[..., Explanation]) -> None:
    whole = make_tabular().attribution
    assert whole.output is not None
    figure = waterfall(make_tabular(output=whole.output + 0.05), 2)
    assert figure.layout.yaxis.ticktext[-2] == "not explained (gap)"
    assert figure.data[0].x[-1] == pytest.approx(0.05)
    assert "not explained (gap)" not in waterfall(make_tabular(), 2).layout.yaxis.ticktext


@pytest.mark.parametrize(
    ("quantity", "truth", "said"),
    [("number", 3.25, "(true: 3.25)"), ("probability", -1, ""), ("number", np.nan, ""), ("output", 1, "")],
)
def test_the_truth_is_told_where_it_is_known(table: Explanation, quantity: str, truth: float, said: str) -> None:
    classes = table.classes if quantity == "probability" else ()
    known = replace(table, quantity=quantity, truth=np.full(60, truth), classes=classes)  # type: ignore[arg-type]
    title = bars(known, 0).layout.meta["title"]
    assert title.endswith(said)
    assert ("true:" in title) == bool(said)


def found(told: Explanation, **names: Any) -> Explanation:
    """The same with something else found."""
    return replace(told, attributions=tuple(replace(each, found=names) for each in told.attributions))


def test_a_counterfactual_says_what_changes_from_what_to_what(table: Explanation) -> None:
    changed = torch.zeros(60, 8, dtype=torch.bool)
    changed[4, [0, 3]] = True
    donor = torch.full((60,), 9)
    donor[5] = -1
    told = found(table, donor=donor, changed=changed, outputs=torch.full((60, 3), 0.75))
    figure = counterfactual(told, 4)
    names, before, after = figure.data[0].cells["values"]
    assert [name.startswith("&lt;script&gt;") for name in names] == [True, False]
    first = table.players[0]
    assert [before[0], after[0]] == [str(table.rows[first].iloc[4]), str(table.background[first].iloc[9])]
    assert "to 0.75" in figure.layout.meta["title"]
    assert f"{first} from {before[0]} to {after[0]}" in figure.layout.meta["alt"]
    part = table.background.iloc[[9]][[first]]
    assert len(counterfactual(told, 4, part).data[0].cells["values"][0]) == 1
    with pytest.raises(ExplanationError, match="none was found"):
        counterfactual(told, 5)
    with pytest.raises(ExplanationError, match="explain with counterfactual"):
        counterfactual(table, 4)


def test_the_most_influential_rows_come_first_with_their_cells(make_tabular: Callable[..., Explanation]) -> None:
    scores = torch.zeros(60, 60)
    scores[3, 7], scores[3, 8] = -2.0, 1.0
    figure = influence(make_tabular(values=torch.zeros(60, 0), found={"scores": scores}), 3, top=2)
    rows, sizes, first, *_ = figure.data[0].cells["values"]
    assert list(rows) == ["this row", "patient 7", "patient 8"]
    assert list(sizes) == ["", "−2", "+1"]
    cells = make_tabular().rows.iloc[[3, 7, 8], 0]
    assert list(first) == [str(cell) for cell in cells]
    given = influence(make_tabular(), 3, scores[3].numpy(), make_tabular().rows, top=2)
    assert given.data[0].cells["values"] == figure.data[0].cells["values"]
    with pytest.raises(ExplanationError, match="explain with influence"):
        influence(make_tabular(), 0)


def test_a_table_shows_words_as_they_are_and_asks_for_room() -> None:
    figure = table(["<i>a</i>", "b"], [["<b>x</b>", "y"], ["1", "2"]], "title", "about")
    assert figure.data[0].header["values"][0] == "<b>&lt;i&gt;a&lt;/i&gt;</b>"
    assert figure.data[0].cells["values"][0][0] == "&lt;b&gt;x&lt;/b&gt;"
    wide = table(["a" * 30] * 6, [["x" * 40]] * 6, "title", "about")
    assert wide.layout.meta["least_width"] > figure.layout.meta["least_width"]
    assert wide.layout.height > table(["a"] * 6, [["x"]] * 6, "title", "about").layout.height


def test_inputs_are_the_sums_of_their_players_the_largest_first(table: Explanation) -> None:
    groups = {"<b>few": [0], "rest": [1, 2, 3]}
    figure = inputs(table, 5, groups)
    values = table.values.iloc[5].to_numpy()
    sums = {"&lt;b&gt;few": values[0], "rest": values[1:4].sum()}
    order = sorted(sums, key=lambda name: -abs(sums[name]))
    assert list(figure.layout.yaxis.ticktext) == order
    np.testing.assert_allclose(figure.data[0].x, [sums[name] for name in order])
    np.testing.assert_allclose(sorted(figure.data[0].error_x.array), [0.004, 0.004 * np.sqrt(3)])
    assert "as if each part had its own" in figure.layout.meta["caption"]


def test_what_is_written_beside_a_player_can_be_given(table: Explanation) -> None:
    labels = waterfall(table, 0, written={"feature 6": "<i>word"}).layout.yaxis.ticktext
    assert "feature 6 = &lt;i&gt;word" in labels
