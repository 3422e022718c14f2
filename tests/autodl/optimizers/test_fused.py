"""The fused step does what the flat one does: it passes the whole suite, and matches torch."""

from __future__ import annotations

import pytest
import torch

from autodl.contracts import ParameterLayout
from autodl.optimizers import _fused
from autodl.optimizers._fused import FusedAdam, decay_runs
from autodl.optimizers.adam import Adam
from autodl.optimizers.adamw import Adamw
from autodl.testing.optimizer import OptimizerSuite

SETTINGS = [
    {"learning_rate": 1e-2, "weight_decay": 0.5, "beta1": 0.9, "beta2": 0.999},
    {"learning_rate": 3e-2, "weight_decay": 0.0, "beta1": 0.8, "beta2": 0.95},
    {"learning_rate": 1e-3, "weight_decay": 3.0, "beta1": 0.0, "beta2": 0.99},
]
KINDS = [(Adam, torch.optim.Adam), (Adamw, torch.optim.AdamW)]


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(_fused, "FEWEST_PARAMETERS", 0)


@pytest.mark.usefixtures("always")
class TestFusedSteps(OptimizerSuite):
    optimizer = pytest.fixture(lambda self, request: request.param, params=[Adam, Adamw])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("ours", "theirs"), KINDS)
def test_matches_torch_over_fifty_steps(bench, monkeypatch, ours, theirs):
    monkeypatch.setattr(ours, "constants", None)  # the flat step would need them
    found = bench.pack(ours, SETTINGS)
    for member, own in enumerate(SETTINGS):

        def reference(groups, own=own):
            betas = (own["beta1"], own["beta2"])
            return theirs(groups(own["weight_decay"]), lr=own["learning_rate"], betas=betas)

        bench.assert_close(found[member], bench.torch(member, reference))


def test_it_is_for_many_parameters_on_a_cpu():
    assert FusedAdam.pays(torch.empty(1, _fused.FEWEST_PARAMETERS))
    assert not FusedAdam.pays(torch.empty(64, _fused.FEWEST_PARAMETERS - 1))
    assert not FusedAdam.pays(torch.empty(1, _fused.FEWEST_PARAMETERS, device="meta"))


@pytest.mark.parametrize(
    ("shapes", "offsets", "expected"),
    [
        (((2, 3), (2,), (4, 2), (1, 4)), (0, 6, 8, 16), [(0, 6, True), (6, 8, False), (8, 20, True)]),
        (((3,), (1, 2)), (2, 0), [(0, 2, True), (2, 5, False)]),
        (((2,), (3,)), (0, 2), [(0, 5, False)]),
        ((), (), []),
    ],
)
def test_columns_fall_into_stretches_that_decay_and_that_do_not(shapes, offsets, expected):
    names = tuple(f"p{index}" for index in range(len(shapes)))
    assert decay_runs(ParameterLayout(names, shapes, offsets, (False,) * len(shapes))) == expected
