"""Every registered optimizer."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Optimizer
from autodl.testing.optimizer import OptimizerSuite


class TestEveryOptimizer(OptimizerSuite):
    @pytest.fixture(params=registry.optimizers.names())
    def optimizer(self, request: pytest.FixtureRequest) -> type[Optimizer]:
        return registry.optimizers.load(request.param)
