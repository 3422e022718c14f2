from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from autodl.estimators import linear_model
from autodl.estimators._standard import measure, standardise
from autodl.estimators.linear_model import LinearModel
from autodl.testing.estimator import Known


@pytest.mark.parametrize("penalty", [0.1, 50.0])
@pytest.mark.parametrize("exact", [0, 1000])
def test_ridge_is_the_textbooks(monkeypatch, penalty, exact):
    """Weights (XᵀX + λ)⁻¹ Xᵀy of centred columns, however many features there are."""
    monkeypatch.setattr(linear_model, "_EXACT", exact)
    known = Known.drawn("regression")
    x = standardise(known.x, measure(known.x))
    centred = x - x.mean(axis=0)
    weights = np.linalg.solve(
        centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (known.targets - known.targets.mean())
    )
    expected = centred @ weights + known.targets.mean()
    np.testing.assert_allclose(
        known.fitted(LinearModel, {"penalty": penalty}).predict(known.x), expected, rtol=1e-3, atol=1e-3
    )


def test_logistic_regression_is_at_the_bottom_of_its_loss():
    """Where the gradient of penalty and log loss is zero."""
    known = Known.drawn("binary")
    known.targets[:20] = 1
    fitted = known.fitted(LinearModel, {"penalty": 3.0})
    weights = fitted.learnt["parts"][0]["found"]["weights"]
    x = standardise(known.x, fitted.learnt["measures"])
    gradient = x.T @ (fitted.predict(known.x)[:, 1] - known.targets) + 3.0 * weights[0]
    assert np.abs(gradient).max() < 0.2


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_probabilities_are_scikit_learns(kind):
    known = Known.drawn(kind)
    x = standardise(known.x, measure(known.x))
    own = LogisticRegression(C=0.5, max_iter=50, tol=1e-3).fit(x, known.targets).predict_proba(x)
    found = known.begun(LinearModel, {"penalty": 2.0}).predict(known.x)
    np.testing.assert_allclose(found[:, np.unique(known.targets)], own, rtol=1e-9)


def test_few_steps_are_no_warning_and_the_time_limit_holds(monkeypatch):
    """Features that repeat each other and a penalty of next to nothing: hard for the solver."""
    monkeypatch.setattr(linear_model, "_STEPS", 2)
    for kind in ("binary", "regression"):
        known = Known.drawn(kind)
        x = np.repeat(known.x, 3, axis=1)
        asked = []
        found = Known(known.task, x, known.targets).fitted(
            LinearModel, {"penalty": 1e-6}, stop=lambda asked=asked: asked.append(1) or len(asked) == 3
        )
        known.check(found.predict(x))
        assert len(asked) == (3 if kind == "binary" else 1)


def test_wide_and_long_tables_are_left_to_others():
    assert LinearModel.accepts(500_000, 100)
    assert not LinearModel.accepts(500_000, 1000)
