"""All that autodl asks of an encoder, asked of this one."""

from __future__ import annotations

import pytest
from autodl_swiglu import Swiglu

from autodl.records import InputSpec
from autodl.testing.encoder import EncoderSuite, table_spec


class TestSwiglu(EncoderSuite):
    @pytest.fixture
    def encoder(self) -> type[Swiglu]:
        return Swiglu

    @pytest.fixture(params=[table_spec(numeric=3), table_spec(numeric=2, categories=(4, 2))])
    def spec(self, request: pytest.FixtureRequest) -> InputSpec:
        return request.param
