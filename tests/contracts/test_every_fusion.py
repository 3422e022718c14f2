"""Every registered fusion."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Fusion
from autodl.testing.fusion import FusionSuite


class TestEveryFusion(FusionSuite):
    @pytest.fixture(params=registry.fusions.names())
    def fusion(self, request: pytest.FixtureRequest) -> type[Fusion]:
        return registry.fusions.load(request.param)
