"""Every registered loss."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Loss
from autodl.testing.loss import LossSuite


class TestEveryLoss(LossSuite):
    @pytest.fixture(params=registry.losses.names())
    def loss(self, request: pytest.FixtureRequest) -> type[Loss]:
        return registry.losses.load(request.param)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_task_has_a_choice_of_losses(kind: str) -> None:
    assert sum(kind in registry.losses.load(name).tasks for name in registry.losses.names()) > 1
