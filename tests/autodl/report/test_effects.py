from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.explanation import Explanation
from autodl.report.effects import MOST_LINES, partial_dependence

POINTS, ROWS = 6, 80


@pytest.fixture
def curved(make_tabular: Callable[..., Explanation]) -> Explanation:
    """Curves of a number, a category, a date, a number whose first point is missing, and one without a column."""
    generator = torch.Generator().manual_seed(0)

    def curve(donors: list[int], *, ordered: bool) -> dict[str, object]:
        ice = torch.rand(ROWS, len(donors), generator=generator)
        ale = torch.linspace(-1, 1, len(donors)) if ordered else None
        mean = ice.mean(0)
        found = {"donors": torch.tensor(donors), "ice": ice, "mean": mean, "ale": ale}
        return {**found, "counts": torch.ones(len(donors)), "ordered": ordered}

    frame = make_tabular().rows
    kinds = [int(np.flatnonzero(frame["feature 3"] == each)[0]) for each in ("no", "yes", "<i>maybe</i>")]
    rising = frame["feature 7"].to_numpy().argsort()[::10].tolist()
    curves = {
        "feature 7": curve(rising, ordered=True),
        "feature 3": curve(kinds, ordered=False),
        "feature 4": curve(frame["feature 4"].to_numpy().argsort()[::10].tolist(), ordered=True),
        "feature 5": curve([0, *rising[1:]], ordered=True),
        "all other columns": curve([4, 5], ordered=False),
    }
    return make_tabular(found={"curves": curves}, explainer="partial_dependence")


def traces(told: Explanation, name: str) -> dict[str, object]:
    return {trace.name.split(" (")[0]: trace for trace in partial_dependence(told, name).data}


def test_the_mean_lies_at_the_values_of_its_donors(curved: Explanation) -> None:
    found, curve = traces(curved, "feature 7"), curved.attribution.found["curves"]["feature 7"]
    mean, single, rug = found["mean over rows"], found["single rows"], found["background rows"]
    np.testing.assert_allclose(mean.x, curved.background["feature 7"].iloc[curve["donors"].numpy()])  # type: ignore[attr-defined]
    np.testing.assert_allclose(mean.y, curve["mean"], rtol=1e-6)  # type: ignore[attr-defined]
    assert int(np.isnan(single.y).sum()) == MOST_LINES  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.sort(rug.x), np.sort(curved.background["feature 7"]))  # type: ignore[attr-defined]


def test_accumulated_effects_are_laid_over_the_mean(curved: Explanation) -> None:
    found = traces(curved, "feature 7")
    ale, mean = found["accumulated local effect"].y, found["mean over rows"].y  # type: ignore[attr-defined]
    assert ale.mean() == pytest.approx(mean.mean(), rel=1e-5)
    np.testing.assert_allclose(np.diff(ale), 2 / (len(ale) - 1), rtol=1e-4)


def test_categories_are_points_in_their_order_by_name(curved: Explanation) -> None:
    figure = partial_dependence(curved, "feature 3")
    assert list(figure.layout.xaxis.ticktext) == ["no", "yes", "&lt;i&gt;maybe&lt;/i&gt;"]
    assert {trace.mode for trace in figure.data} == {"markers"}
    assert list(partial_dependence(curved, "all other columns").layout.xaxis.ticktext) == ["1", "2"]


def test_dates_and_missing_points(curved: Explanation) -> None:
    assert np.issubdtype(traces(curved, "feature 4")["mean over rows"].x.dtype, np.datetime64)  # type: ignore[attr-defined]
    mean = traces(curved, "feature 5")["mean over rows"]
    assert len(mean.x) == POINTS - 1  # type: ignore[attr-defined]
    assert np.isfinite(mean.x.astype(float)).all()  # type: ignore[attr-defined]


def test_what_has_no_curve_is_refused(curved: Explanation, table: Explanation) -> None:
    with pytest.raises(ExplanationError, match="explain with partial_dependence"):
        partial_dependence(table, "feature 7")
    with pytest.raises(UnknownNameError, match="feature 7"):
        partial_dependence(curved, "feature 77")
