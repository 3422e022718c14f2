from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from autodl.estimators.extra_trees import ExtraTrees
from autodl.testing.estimator import Known


def test_it_is_scikit_learns():
    known = Known.drawn("regression")
    settings = {"max_features": "sqrt", "min_samples_leaf": 2}
    own = ExtraTreesRegressor(100, random_state=1, **settings).fit(known.x, known.targets)
    np.testing.assert_allclose(known.fitted(ExtraTrees, settings).predict(known.x), own.predict(known.x))
