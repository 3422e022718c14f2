"""Every registered estimator."""

from __future__ import annotations

from typing import get_args

import pytest

from autodl import registry
from autodl.contracts import Estimator
from autodl.records import TaskKind
from autodl.testing.estimator import EstimatorSuite


class TestEveryEstimator(EstimatorSuite):
    @pytest.fixture(params=registry.estimators.names())
    def estimator(self, request: pytest.FixtureRequest) -> type[Estimator]:
        return registry.estimators.load(request.param)


@pytest.mark.parametrize("kind", get_args(TaskKind))
def test_every_task_has_a_baseline_that_learns_and_one_that_does_not(kind: TaskKind) -> None:
    found = [each for each in map(registry.estimators.load, registry.estimators.names()) if kind in each.tasks]
    assert {bool(each.space) for each in found if each.baseline} == {True, False}
