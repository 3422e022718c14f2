from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call, stack_module_state, vmap

from autodl import contracts
from autodl.dropout import Dropout


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_it_is_the_contracts_own() -> None:
    assert contracts.Dropout is Dropout


@given(st.floats(0.05, 0.9))
def test_so_many_are_dropped_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    found = Dropout(rate, (100,)).train()(torch.ones(400, 100))
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-5)
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=0.02)
    assert found.mean().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("how", ["evaluated", "off", "no rate"])
def test_then_nothing_is_dropped(how: str) -> None:
    layer = Dropout(0.0 if how == "no rate" else 0.5, (7,))
    layer.train(how != "evaluated")
    layer.off = how == "off"
    x = torch.randn(5, 7)
    torch.testing.assert_close(layer(x), x)


def test_a_shape_that_broadcasts_drops_whole_maps() -> None:
    found = Dropout(0.5, (3, 1, 1)).train()(torch.ones(50, 3, 4, 4))
    maps = found.flatten(2)
    assert (maps == maps[:, :, :1]).all()
    assert 0 < (maps[:, :, 0] == 0).float().mean() < 1


def test_noise_that_a_pack_drew_is_taken_instead_of_torchs_own() -> None:
    layer = Dropout(0.5, (3,)).train()
    layer.keep = torch.tensor([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]])
    before = torch.get_rng_state()
    torch.testing.assert_close(layer(torch.ones(2, 3)), layer.keep)
    assert torch.equal(torch.get_rng_state(), before)
    assert layer(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64


def test_members_of_a_pack_drop_each_its_own() -> None:
    layers = [Dropout(rate, (3,)).train() for rate in (0.2, 0.5)]
    _, buffers = stack_module_state(layers)
    buffers["keep"] = torch.rand(2, 4, 3)

    def forward(own: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional_call(layers[0], own, (x,))
        return found

    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(vmap(forward)(buffers, x), x * buffers["keep"])


def test_the_noise_is_not_saved_but_the_rate_is() -> None:
    layer = Dropout(0.25, (3,))
    assert list(layer.state_dict()) == ["rate"]
    assert layer.rate.item() == 0.25
