"""Extremely randomised trees: each split is the best of some drawn by chance."""

from __future__ import annotations

from typing import Any, ClassVar

from autodl.estimators._codes import Coded
from autodl.estimators._forest import Forest
from autodl.space import Choice, Integer, Space


class ExtraTrees(Coded, Forest):
    """Trees on all rows, whose thresholds are drawn.

    Reference:
        Geurts, Ernst, Wehenkel: Extremely Randomized Trees, Machine Learning 63 (2006).
    """

    space: ClassVar[Space] = Space(
        max_features=Choice(
            *("sqrt", 0.3, 0.5, 0.75, 1.0),
            default=0.5,
            limits=(0.01, 1.0),
            doc="share of the features that each split is chosen among; 'sqrt' takes the root of their number",
        ),
        min_samples_leaf=Integer(1, 50, log=True, default=3, limits=(1, 100_000), doc="fewest training rows of a leaf"),
    )

    def _model(self, *, classifies: bool) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        return ExtraTreesClassifier() if classifies else ExtraTreesRegressor()
