"""Every registered loss."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.contracts import Loss
from autodl.tasks import TASK_KINDS, TaskKind
from autodl.testing.loss import LossSuite


class TestEveryLoss(LossSuite):
    @pytest.fixture(params=registry.losses.names())
    def loss(self, request: pytest.FixtureRequest) -> type[Loss]:
        return registry.losses.load(request.param)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_task_has_a_loss(kind: TaskKind) -> None:
    """Where one class or plain numbers are predicted, a choice of losses."""
    fitting = [name for name in registry.losses.names() if kind in registry.losses.load(name).tasks]
    assert len(fitting) >= (1 if kind in ("multilabel", "quantile") else 2)
