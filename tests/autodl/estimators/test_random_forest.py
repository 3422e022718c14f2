from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from autodl.estimators.random_forest import RandomForest
from autodl.testing.estimator import Known


def test_it_is_scikit_learns():
    known = Known.drawn("regression")
    settings = {"max_features": "sqrt", "min_samples_leaf": 2}
    own = RandomForestRegressor(100, random_state=1, **settings).fit(known.x, known.targets)
    np.testing.assert_allclose(known.fitted(RandomForest, settings).predict(known.x), own.predict(known.x))
