"""Every registered modality."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Modality
from autodl.testing.modality import ModalitySuite


class TestEveryModality(ModalitySuite):
    @pytest.fixture(params=registry.modalities.names())
    def modality(self, request: pytest.FixtureRequest) -> type[Modality]:
        return registry.modalities.load(request.param)
