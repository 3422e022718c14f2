from __future__ import annotations

import numpy as np

from autodl.report._steps import Step, height_of, side_by_side, way, worded
from autodl.report.style import LOWERS, QUIET, RAISES

STEPS = [Step("a", 2.0, 0.1, "a up"), Step("b", -3.0, 0.0, "b down"), Step("gap", 0.5, 0.0, "missed", gap=True)]


def test_a_way_leads_from_the_start_to_the_end() -> None:
    figure = way(1.0, 0.5, STEPS, ("start", "here"), ("end", "there"))
    bars, lines, ends = figure.data
    np.testing.assert_allclose(bars.base.astype(float), [1, 3, 0])
    np.testing.assert_allclose(bars.base.astype(float) + bars.x, [3, 0, 0.5])
    assert bars.marker.color == (RAISES, LOWERS, QUIET)
    assert figure.layout.yaxis.ticktext == ("start", "a", "b", "gap", "<b>end</b>")
    assert [each.text for each in figure.layout.annotations] == ["1", "+2", "−3", "+0.5", "<b>0.5</b>"]
    np.testing.assert_allclose(ends.x, [1, 0.5])
    assert len(lines.x) == 3 * 4
    low, high = figure.layout.xaxis.range
    assert low < 0
    assert high > 3.1


def test_bars_side_by_side_begin_at_nothing() -> None:
    figure = side_by_side(STEPS)
    np.testing.assert_allclose(figure.data[0].base.astype(float), 0)
    np.testing.assert_allclose(figure.data[0].error_x.array, [0.1, 0, 0])
    assert side_by_side(STEPS[1:]).data[0].error_x.array is None
    assert height_of(4) - height_of(3) == height_of(3) - height_of(2) > 0


def test_numbers_are_told_with_their_error_where_they_have_one() -> None:
    assert worded(0.5, 0.01) == "+0.5 ± 0.01 (standard error)"
    assert worded(-0.5, 0.0) == "−0.5"
