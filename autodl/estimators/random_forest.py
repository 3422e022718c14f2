"""Random forest: each tree sees rows drawn with replacement."""

from __future__ import annotations

from typing import Any, ClassVar

from autodl.estimators._codes import Coded
from autodl.estimators._forest import Forest
from autodl.space import Choice, Integer, Space


class RandomForest(Coded, Forest):
    """Trees on bootstrap samples, whose thresholds are the best ones.

    Reference:
        Breiman: Random Forests, Machine Learning 45 (2001).
    """

    space: ClassVar[Space] = Space(
        max_features=Choice(
            *("sqrt", 0.2, 0.33, 0.5, 0.75),
            default=0.33,
            limits=(0.01, 1.0),
            doc="share of the features that each split is chosen among; 'sqrt' takes the root of their number",
        ),
        min_samples_leaf=Integer(1, 50, log=True, default=3, limits=(1, 100_000), doc="fewest training rows of a leaf"),
    )

    def _model(self, *, classifies: bool) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        return RandomForestClassifier() if classifies else RandomForestRegressor()
