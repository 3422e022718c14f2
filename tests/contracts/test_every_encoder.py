"""Every registered encoder, on every kind of input that it accepts."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Encoder
from autodl.records import InputSpec
from autodl.testing.encoder import EncoderSuite, image_spec, table_spec

SPECS = {
    "numbers_and_categories": table_spec(numeric=3, categories=(4, 2)),
    "categories": table_spec(numeric=0, categories=(3, 2)),
    "one_number": table_spec(numeric=1),
    "1x8x8": image_spec(1, 8, 8),
    "1x28x28": image_spec(1, 28, 28),
    "3x17x23": image_spec(3, 17, 23),
}
CASES = [
    pytest.param((registry.encoders.load(name), spec), id=f"{name}-{label}")
    for name in registry.encoders.names()
    for label, spec in SPECS.items()
    if registry.encoders.load(name).accepts(spec)
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[type[Encoder], InputSpec]:
    return request.param


class TestEveryEncoder(EncoderSuite):
    @pytest.fixture
    def encoder(self, case: tuple[type[Encoder], InputSpec]) -> type[Encoder]:
        return case[0]

    @pytest.fixture
    def spec(self, case: tuple[type[Encoder], InputSpec]) -> InputSpec:
        return case[1]


@pytest.mark.parametrize("name", registry.encoders.names())
def test_every_encoder_accepts_some_input(name: str) -> None:
    assert any(registry.encoders.load(name).accepts(spec) for spec in SPECS.values())
